import { Result } from "effect";
import { describe, expect, it } from "vitest";
import { Decider, Order, Sku } from "@org/saga-core";
import { Invariants } from "@org/saga-core/testing";
import { orderId, place } from "../domain/Fixtures.ts";

const order = (...commands: ReadonlyArray<Order.Command>): Order.Order => {
  let state: Order.State = null;
  for (const command of [place(), ...commands]) {
    const step: Result.Result<Decider.Step<Order.State, Order.Event>, Order.Rejection> = Decider.run(Order.decider, state, command);
    if (Result.isFailure(step)) throw new Error("fixture");
    state = step.success.state;
  }
  if (state === null) throw new Error("fixture");
  return state;
};

const finished = order(
  { _tag: "StartCheckout", now: 2 },
  { _tag: "CompleteCheckout", now: 3 },
  { _tag: "ConfirmPayment", now: 4 },
  { _tag: "Finish", now: 5 },
);
const open = order({ _tag: "StartCheckout", now: 2 });
const mug = Sku.make("mug");
const balance = { sku: mug, onHand: 10, held: 2, committed: 3, available: 5, shortage: 0 };
const message = (id: string, key = "o") => ({ id, topic: "t", key });

describe("the invariants", () => {
  it("hold for books that balance, and name the SKU for which they do not", () => {
    expect(Invariants.stockBalances([balance])).toEqual([]);
    expect(Invariants.stockBalances([{ ...balance, committed: 9, available: 0, shortage: 1 }])).toEqual([]);
    expect(Invariants.stockBalances([{ ...balance, held: 8, available: 0 }]).join()).toMatch(/G1: mug promises 11 of 10.*G2: mug/);
    expect(Invariants.stockBalances([{ ...balance, available: 6 }])).toHaveLength(1);
    expect(Invariants.stockBalances([{ ...balance, held: -1, available: 8 }])).toEqual(["G2: mug has a negative balance"]);
  });

  it("account for every unit at rest", () => {
    const received = new Map([["mug", 12]]);
    const rest = { ...balance, held: 0, committed: 0, available: 10 };
    expect(Invariants.stockAtRest([rest], received, [finished, open])).toEqual([]);
    expect(Invariants.stockAtRest([rest], received, [])).toEqual(["G2: mug has 10 on hand, 12 are accounted for"]);
    expect(Invariants.stockAtRest([balance], received, [finished])[0]).toContain("still promises 2 held and 3 committed");
  });

  it("compare the money with the goods", () => {
    const ledger = (captured: number, refunded: number) => new Map([[String(orderId), { captured, refunded }]]);
    expect(Invariants.moneyAtRest([finished], ledger(4_500, 0))).toEqual([]);
    expect(Invariants.moneyAtRest([open], ledger(4_500, 4_500))).toEqual([]);
    expect(Invariants.moneyAtRest([finished], ledger(9_000, 0))).toHaveLength(2);
    expect(Invariants.moneyAtRest([finished], new Map())).toHaveLength(1);
    expect(Invariants.moneyAtRest([open], ledger(4_500, 0))[0]).toContain("is pendingPayment, but 4500 − 0 was paid instead of 0");
  });

  it("follow histories along the table", () => {
    expect(Invariants.histories([finished, open])).toEqual([]);
    const jump = { ...finished, history: [...finished.history, { status: "created", at: 9, reason: null }] } satisfies Order.Order;
    expect(Invariants.histories([jump])).toEqual([
      `G7: ${orderId} went finished → created`,
      `G7: ${orderId} is finished, its history says otherwise`,
    ]);
    expect(Invariants.histories([{ ...open, history: open.history.slice(1) }])).toEqual([`G7: ${orderId} began as pendingPayment`]);
    expect(Invariants.atRest([finished, open])).toEqual([`G9: ${orderId} rests in pendingPayment`]);
  });

  it("see lost, phantom and inverted messages, and allow duplicates", () => {
    const committed = [message("1"), message("2"), message("3", "p")];
    expect(Invariants.publications(committed, [message("3", "p"), message("1"), message("2"), message("1")])).toEqual([]);
    expect(Invariants.publications(committed, [message("1"), message("3", "p")]).join()).toContain("2 on t was never published");
    expect(Invariants.publications(committed, [...committed, message("9")]).join()).toContain("9 on t was never committed");
    expect(Invariants.publications(committed, [message("2"), message("1"), message("3", "p")])).toEqual([
      "G5: t o was published out of commit order",
    ]);
  });
});
