import { type ChoreographyRunner, type Order, OrderId, OrderStore, Outbox, SagaRunner, SagaStore, UnitOfWork } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer } from "effect";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { atHome, definition, stateOf, stuckAtHome, stuckOf } from "./Orders.ts";
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

const sagaOf = (id: OrderId) =>
  stores(Effect.flatMap(SagaStore, (store) => store.find("checkout", [id]))).then((found) => found.get(id)?.state);
const pending = () => stores(Effect.flatMap(Outbox, (outbox) => outbox.backlog)).then((backlog) => backlog.pending);

describe("saga orders resume", () => {
  test("asks again for an undo that was refused for good, and records who and why", async () => {
    const id = OrderId.make("o-stuck");
    await put(id, stuckOf(id, NOW, ["authorize-payment"]));
    const before = await pending();
    const resumed = await shell.run(["orders", "resume", id, "--schema", "order", "--by", "ada", "--reason", "provider is back"]);
    expect(resumed).toEqual({
      code: 0,
      stdout: "order o-stuck is pendingPayment: the undos that were refused are asked for again",
      stderr: "",
    });
    expect(await sagaOf(id)).toMatchObject({
      status: "compensating",
      audit: [{ action: "resume", step: null, by: "ada", note: "provider is back" }],
    });
    expect(await pending()).toBe(before + 1);
    const shown = await shell.run(["orders", "show", id, "--schema", "order"]);
    expect(shown.stdout).toMatch(/ada +resume +all that was refused +provider is back/);
  });

  test("is refused, and records nothing, where no undo was refused", async () => {
    const id = OrderId.make("o-running");
    await put(id, stateOf(id, NOW));
    const before = await sagaOf(id);
    expect(await shell.run(["orders", "resume", id, "--schema", "order"])).toEqual({
      code: 1,
      stdout: "",
      stderr: "saga: order o-running: nothing to resume: no undo was refused for good, its checkout is running",
    });
    expect(await sagaOf(id)).toEqual(before);
    const nobody = await shell.run(["orders", "resume", "o-nobody", "--schema", "order"]);
    expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining("there is none")]);
  });

  test("takes the shell's user where nobody is named", async () => {
    const id = OrderId.make("o-user");
    await put(id, stuckOf(id, NOW, ["authorize-payment"]));
    expect((await shell.run(["orders", "resume", id, "--schema", "order"], { USER: "grace" })).code).toBe(0);
    expect(await sagaOf(id)).toMatchObject({ audit: [{ by: "grace", note: "" }] });
  });
});

describe("saga orders resolve", () => {
  const resolve = (id: string, step: string, ...more: ReadonlyArray<string>) =>
    shell.run(["orders", "resolve", id, "--step", step, "--schema", "order", "--by", "ada", "--reason", "paid back by hand", ...more]);

  test("takes a person's word for one undo, asks nobody for it, and undoes what is left", async () => {
    const id = OrderId.make("o-both");
    await put(id, stuckOf(id, NOW, ["reserve-stock", "authorize-payment"]));
    const before = await pending();
    const stuck = await shell.run(["orders", "show", id, "--schema", "order", "--json"]);
    expect([stuck.code, JSON.parse(stuck.stdout).saga.refused]).toEqual([3, ["reserve-stock", "authorize-payment"]]);
    const first = await resolve(id, "authorize-payment");
    expect([first.code, first.stdout]).toEqual([0, expect.stringContaining('"authorize-payment" counts as undone by hand')]);
    expect(await sagaOf(id)).toMatchObject({
      status: "compensationFailed",
      steps: { "authorize-payment": { status: "undone" }, "reserve-stock": { status: "undoRefused" } },
    });
    const last = await resolve(id, "reserve-stock", "--json");
    expect(JSON.parse(last.stdout)).toMatchObject({ id, status: "canceled" });
    expect(await sagaOf(id)).toMatchObject({
      status: "compensated",
      audit: ["authorize-payment", "reserve-stock"].map((step) => ({ action: "resolve", step, by: "ada", note: "paid back by hand" })),
    });
    // The order's new status, and nothing else.
    expect(await pending()).toBe(before + 1);
    const shown = await shell.run(["orders", "show", id, "--schema", "order", "--json"]);
    expect(JSON.parse(shown.stdout).saga.audit[0]).toMatchObject({ action: "resolve", step: "authorize-payment", by: "ada" });
  });

  test("is refused, and records nothing, for a step whose undo was not refused", async () => {
    const id = OrderId.make("o-other");
    await put(id, stuckOf(id, NOW, ["reserve-stock", "authorize-payment"]));
    const before = await sagaOf(id);
    const wrong = await resolve(id, "capture-payment");
    expect([wrong.code, wrong.stdout]).toEqual([1, ""]);
    expect(wrong.stderr).toContain('nothing to resolve at "capture-payment": refused for good are reserve-stock, authorize-payment');
    expect(await sagaOf(id)).toEqual(before);
    const done = await resolve(OPEN, "authorize-payment");
    expect([done.code, done.stderr]).toEqual([1, expect.stringContaining("its checkout is compensat")]);
  });

  test("says of an order without a checkout that nothing was refused", async () => {
    const id = OrderId.make("o-none");
    await put(id, { ...stateOf(id, NOW), saga: null });
    expect((await resolve(id, "authorize-payment")).stderr).toMatch(/no undo was refused for good$/);
  });

  test("needs a step and a reason of at most one line of a table", async () => {
    expect((await shell.run(["orders", "resolve", OPEN, "--schema", "order", "--step", "authorize-payment"])).code).toBe(2);
    expect((await shell.run(["orders", "resolve", OPEN, "--schema", "order", "--reason", "why"])).code).toBe(2);
    expect((await shell.run(["orders", "resolve", OPEN, "--schema", "order", "--step", "x", "--reason", " "])).code).toBe(2);
    const long = await shell.run(["orders", "resolve", OPEN, "--schema", "order", "--step", "x", "--reason", "x".repeat(501)]);
    expect([long.code, long.stderr]).toEqual([2, expect.stringContaining("at most 500 characters")]);
  });
});

describe("an order whose checkout has no coordinator", () => {
  const putAtHome = (id: OrderId, after: ChoreographyRunner.State): Promise<void> =>
    stores(Effect.flatMap(UnitOfWork, (unit) => unit.commit(atHome.save([{ key: id, before: atHome.initial, after }]))));

  test("is decided about at home, which tells whoever owns the step, and records who and why", async () => {
    const id = OrderId.make("o-home");
    await putAtHome(id, stuckAtHome(id, NOW, "authorize-payment"));
    const stuck = await shell.run(["orders", "show", id, "--schema", "order"]);
    expect([stuck.code, stuck.stdout]).toEqual([3, expect.stringMatching(/^refused {3}authorize-payment$/m)]);
    const before = await pending();
    const flags = ["--schema", "order", "--by", "ada", "--reason", "paid back by hand"];
    const resolved = await shell.run(["orders", "resolve", id, "--step", "authorize-payment", ...flags]);
    expect([resolved.code, resolved.stdout]).toEqual([0, expect.stringContaining("counts as undone by hand")]);
    expect(await sagaOf(id)).toMatchObject({
      instance: { audit: [{ action: "resolve", step: "authorize-payment", by: "ada", note: "paid back by hand" }] },
    });
    expect(await pending()).toBeGreaterThan(before);
    const shown = await shell.run(["orders", "show", id, "--schema", "order"]);
    expect(shown.code).toBe(0);
    expect(shown.stdout).not.toContain("refused");
    expect(shown.stdout).toMatch(/ada +resolve +authorize-payment +paid back by hand/);
  });

  test("takes no word while whoever owns the step is asked again: it would not be applied", async () => {
    const id = OrderId.make("o-home-again");
    await putAtHome(id, stuckAtHome(id, NOW, "capture-payment"));
    expect((await shell.run(["orders", "resume", id, "--schema", "order"])).code).toBe(0);
    const [asked, waiting] = [await sagaOf(id), await pending()];
    for (const more of [["resume"], ["resolve", "--step", "capture-payment", "--reason", "by hand"]]) {
      const [word = "", ...flags] = more;
      const again = await shell.run(["orders", word, id, "--schema", "order", ...flags]);
      expect([again.code, again.stderr]).toEqual([
        1,
        expect.stringContaining("no undo was refused for good, its checkout is compensating"),
      ]);
    }
    expect([await sagaOf(id), await pending()]).toEqual([asked, waiting]);
  });

  test("is not, about an undo that was not refused, or where none was", async () => {
    const id = OrderId.make("o-home-2");
    await putAtHome(id, stuckAtHome(id, NOW, "authorize-payment"));
    const before = await sagaOf(id);
    const wrong = await shell.run(["orders", "resolve", id, "--step", "capture-payment", "--schema", "order", "--reason", "by hand"]);
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("refused for good is authorize-payment")]);
    expect(await sagaOf(id)).toEqual(before);
    const running = OrderId.make("o-home-3");
    await putAtHome(running, { ...stuckAtHome(running, NOW, "x"), row: null });
    expect((await shell.run(["orders", "resume", running, "--schema", "order"])).code).toBe(1);
  });
});

describe("an order whose checkout this program does not know", () => {
  test("is left alone", async () => {
    const id = OrderId.make("o-v2");
    await put(id, stateOf(id, NOW));
    const row = { saga: "checkout", id, status: "running", revision: 2, version: 2, state: { of: "another version" } };
    await stores(Effect.flatMap(UnitOfWork, (unit) => unit.commit(Effect.flatMap(SagaStore, (store) => store.save([row])))));
    const { code, stderr } = await shell.run(["orders", "resume", id, "--schema", "order"]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("its checkout is of version 2: this program cannot decide about it")]);
  });
});
