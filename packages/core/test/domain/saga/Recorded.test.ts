import { Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Checkout, SagaDecider, SagaRunner } from "@org/saga-core";

const definition = Checkout.make();
const decode = Schema.decodeUnknownSync(Schema.toCodecJson(SagaRunner.Instance));

/** As 0.1.0 stored it: a step has a timer of its own, of which the instance knows nothing but the attempt. */
const recorded = (status: SagaDecider.Status, steps: Record<string, { readonly status: string; readonly attempts: number }>) =>
  decode({
    saga: "checkout",
    version: 1,
    id: "o-1",
    status,
    data: {
      orderId: "o-1",
      customerId: "c-1",
      lines: [{ sku: "tea", quantity: 2 }],
      total: { amount: 900, currency: "EUR" },
      paymentMethod: "pm_1",
    },
    steps: Object.fromEntries(Object.entries(steps).map(([name, state]) => [name, { ...state, round: 1 }])),
    failure: status === "compensating" ? { step: "check-balance", reason: "insufficientBalance" } : null,
    startedAt: 1_000,
  });

const done = { status: "done", attempts: 0 };

const fire = (instance: SagaDecider.Instance<Checkout.Data>, name: string, token: string) =>
  SagaDecider.transition(definition, instance, { _tag: "Timer", name, token, now: 50_000 });

const asked = (send: ReadonlyArray<SagaDecider.Send<unknown>>): ReadonlyArray<string> =>
  send.map((each) => (each._tag === "Message" ? each.draft.type : each._tag));

describe("an instance that 0.1.0 stored", () => {
  it.each([
    ["asks a step again", "running", { "start-checkout": done, "check-balance": { status: "sent", attempts: 1 } }, "check-balance", "do:1"],
    ["asks an undo again", "compensating", { "reserve-stock": { status: "undoing", attempts: 2 } }, "reserve-stock", "undo:2"],
  ] as const)("%s by that version's timer, once, and from then on by the instance's own", (_, status, steps, name, token) => {
    const instance = recorded(status, steps);
    expect(fire(instance, name, "do:9")).toEqual([instance, []]);
    const [next, send] = fire(instance, name, token);
    expect(asked(send)).toEqual([name === "check-balance" ? "payment.check-balance.v1" : "inventory.release.v1", "Schedule"]);
    if (next === null) throw new Error("it is gone");
    expect(fire(next, name, token)).toEqual([next, []]);
    const [, again] = SagaDecider.transition(definition, next, { _tag: "Timer", name: "wake", token: "1", now: 200_000 });
    expect(asked(again)).toEqual(asked(send));
  });

  it("gives up a step by that version's timer", () => {
    const [next] = fire(
      recorded("running", { "start-checkout": done, "check-balance": { status: "sent", attempts: 3 } }),
      "check-balance",
      "do:3",
    );
    expect(next?.status).toBe("compensated");
  });

  it("starts by that version's timer, once", () => {
    const [next, send] = fire(recorded("running", {}), "start", "start");
    expect(asked(send)).toEqual(["Local"]);
    if (next === null) throw new Error("it is gone");
    expect(fire(next, "start", "start")).toEqual([next, []]);
  });

  it("asks again for what was refused when a person says so", () => {
    const refused = { "start-checkout": done, "check-balance": done, "reserve-stock": { status: "undoRefused", attempts: 1 } };
    const [next, send] = SagaDecider.transition(definition, recorded("compensationFailed", refused), { _tag: "Resume", now: 60_000 });
    expect([next?.status, asked(send)]).toEqual(["compensating", ["inventory.release.v1", "Schedule"]]);
  });
});
