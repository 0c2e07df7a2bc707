import { type Order, OrderId, OrderStore, Outbox, SagaRunner, SagaStore, UnitOfWork } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer } from "effect";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { definition, stateOf } from "./Orders.ts";
import { open, type Shell, SLOW_MS } from "./Shell.ts";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);
const OPEN = OrderId.make("o-open");
const PAID = OrderId.make("o-paid");

vi.setConfig({ testTimeout: SLOW_MS });

let shell: Shell;
const stores = <A, E>(effect: Effect.Effect<A, E, PgStores.PgStores>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, Layer.provide(PgStores.layerClient, shell.client("order"))));
const put = (id: OrderId, after: SagaRunner.State): Promise<void> =>
  stores(
    Effect.flatMap(UnitOfWork, (unit) => unit.commit(SagaRunner.make(definition).save([{ key: id, before: SagaRunner.initial, after }]))),
  );

beforeAll(async () => {
  shell = await open();
  await shell.run(["migrate", "up", "--schema", "order"]);
}, SLOW_MS);
afterAll(() => shell.close());

describe("saga orders cancel", () => {
  test("undoes what the checkout did, also when the buyer's own cancel would come too late", async () => {
    await put(OPEN, stateOf(OPEN, NOW));
    expect(await shell.run(["orders", "cancel", OPEN, "--schema", "order"])).toMatchObject({ code: 0, stdout: "order o-open is canceled" });
    const again = await shell.run(["orders", "cancel", OPEN, "--schema", "order", "--json"]);
    expect(JSON.parse(again.stdout)).toMatchObject({ id: OPEN, status: "canceled" });
    const found = await stores(Effect.flatMap(OrderStore, (store) => store.find([OPEN])));
    expect(found.get(OPEN)).toMatchObject({ status: "canceled", reason: "canceledByOperator" });
  });

  test("is refused for an order that is paid or not there, and needs one schema", async () => {
    const state = stateOf(PAID, NOW);
    if (state.order === null) throw new Error("fixture");
    const entered = (status: Order.Order["status"]): Order.StatusChange => ({ status, at: NOW, reason: null });
    const history = [...state.order.history, entered("awaitingPayment"), entered("awaitingFulfillment")];
    await put(PAID, { ...state, order: { ...state.order, status: "awaitingFulfillment", paid: true, history } });
    const late = await shell.run(["orders", "cancel", PAID, "--schema", "order"]);
    expect([late.code, late.stderr]).toEqual([1, expect.stringContaining("it is awaitingFulfillment")]);
    const nobody = await shell.run(["orders", "cancel", "o-nobody", "--schema", "order"]);
    expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining("there is none")]);
    expect((await shell.run(["orders", "cancel", OPEN, "--schema", "order", "--schema", "checkout"])).code).toBe(2);
  });
});

describe("saga orders resume", () => {
  test("asks again for an undo that was refused for good", async () => {
    const id = OrderId.make("o-stuck");
    const begun = stateOf(id, NOW);
    if (begun.saga === null) throw new Error("fixture");
    const refused = { status: "undoRefused", round: 1, attempts: 1 } as const;
    const stuck = {
      ...begun.saga,
      status: "compensationFailed",
      steps: { ...begun.saga.steps, "authorize-payment": refused },
      failure: { step: "commit-stock", reason: "holdExpired" },
    } as const;
    await put(id, { ...begun, saga: stuck });
    expect(await shell.run(["orders", "resume", id, "--schema", "order"])).toMatchObject({ code: 0 });
    const saga = await stores(Effect.flatMap(SagaStore, (store) => store.find("checkout", [id])));
    expect(saga.get(id)).toMatchObject({ status: "compensating" });
    const backlog = await stores(Effect.flatMap(Outbox, (outbox) => outbox.backlog));
    expect(backlog.pending).toBeGreaterThan(0);
    expect((await shell.run(["orders", "resume", "o-nobody", "--schema", "order"])).code).toBe(1);
  });
});
