/** The commands that look at what services have written. */
import { randomUUID } from "node:crypto";
import {
  Checkout,
  type DeadLetter,
  DeadLetters,
  type Message,
  Order,
  OrderId,
  OrderStore,
  Outbox,
  Saga,
  SagaRunner,
  SagaStart,
  SagaStore,
  UnitOfWork,
} from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer, Result } from "effect";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { atHome, definition, place, stateOf, stuckAtHome, TOKEN } from "./Orders.ts";
import { open, type Shell, SLOW_MS } from "./Shell.ts";

const ID = OrderId.make("o-1");
const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

const message = (id: string = randomUUID()): Message.Encoded => ({
  id,
  type: "test.happened.v1",
  topic: "test.happened",
  key: ID,
  occurredAt: NOW,
  correlationId: ID,
  causationId: null,
  stepKey: null,
  saga: null,
  traceparent: null,
  tracestate: null,
  payload: JSON.stringify({ card: TOKEN }),
});

vi.setConfig({ testTimeout: SLOW_MS });

let shell: Shell;
const inSchema = <A, E>(schema: string, effect: Effect.Effect<A, E, PgStores.PgStores>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, Layer.provide(PgStores.layerClient, shell.client(schema))));
const commit = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.flatMap(UnitOfWork, (unit) => unit.commit(effect));

beforeAll(async () => {
  shell = await open();
  await shell.run(["migrate", "up", "--schema", "order", "--schema", "checkout"]);
  await inSchema("order", commit(SagaRunner.make(definition).save([{ key: ID, before: SagaRunner.initial, after: stateOf(ID, NOW) }])));
}, SLOW_MS);
afterAll(() => shell.close());

const look = async (...args: ReadonlyArray<string>) => {
  const { code, stdout, stderr } = await shell.run(args);
  return { code, stdout, stderr };
};
const saved = (state: unknown, status: string, revision: number) =>
  inSchema(
    "order",
    commit(Effect.flatMap(SagaStore, (store) => store.save([{ saga: "checkout", version: 1, id: ID, status, revision, state }]))),
  );

describe("saga orders show", () => {
  test("shows lines, timeline and the steps of the checkout", async () => {
    const { code, stdout, stderr } = await look("orders", "show", ID, "--schema", "order");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("status    pendingPayment");
    expect(stdout).toContain("2026-01-02T03:04:05.000Z  created");
    expect(stdout).toMatch(/check-balance +compensatable +sent +1 +1/);
    expect(stdout).toMatch(/capture-payment +pivot +pending +1 +0/);
  });

  test("gives the same as JSON, in the order of the definition", async () => {
    const { code, stdout } = await look("orders", "show", ID, "--schema", "order", "--json");
    const document: { saga: { steps: ReadonlyArray<{ name: string }> } } = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(document).toMatchObject({
      id: ID,
      schema: "order",
      status: "pendingPayment",
      total: { amount: 300, currency: "EUR" },
      timeline: [{ status: "created", at: "2026-01-02T03:04:05.000Z" }, { status: "pendingPayment" }],
      saga: { name: "checkout", version: 1, status: "running", failure: null },
    });
    expect(document.saga.steps.map(({ name }) => name)).toEqual(definition.steps.map(({ name }) => name));
  });

  test("shows neither the means of payment nor what would command a terminal", async () => {
    for (const args of [[], ["--json"]]) {
      const { stdout } = await look("orders", "show", ID, "--schema", "order", ...args);
      expect(stdout).not.toContain(TOKEN);
      expect(stdout).not.toContain("\u001b");
    }
  });

  test("shows an order that has no checkout yet, why it ended, what is asked of it and what was paid", async () => {
    const id = OrderId.make("o-early");
    const [first] = Result.getOrThrow(Order.decide(null, { ...place(ID, NOW), id }));
    const order = first === undefined ? null : Order.evolve(null, first);
    if (order === null) throw new Error("no order");
    const ended: Order.Order = {
      ...order,
      status: "canceled",
      reason: "canceledByUser",
      cancelRequested: true,
      paid: true,
      history: [...order.history, { status: "canceled", at: NOW, reason: "canceledByUser" }],
      version: 2,
    };
    await inSchema("order", commit(Effect.flatMap(OrderStore, (store) => store.save([{ before: null, after: ended }]))));
    const { code, stdout } = await look("orders", "show", id, "--schema", "order");
    expect(code).toBe(0);
    expect(stdout).toContain("status    canceled: canceledByUser, cancel requested");
    expect(stdout).toContain("300 EUR (minor units), paid");
    expect(stdout).not.toContain("checkout v");
    expect(JSON.parse((await look("orders", "show", id, "--schema", "order", "--json")).stdout)).toMatchObject({ id, saga: null });
  });

  test("looks into every schema that is named until it is found", async () => {
    const { code, stdout } = await look("orders", "show", ID, "--schema", "checkout", "--schema", "order", "--json");
    expect([code, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ schema: "order" })]);
  });

  test("draws the checkout with what became of its steps, and refuses what it cannot read", async () => {
    const states = await look("orders", "diagram", ID, "--schema", "order");
    expect([states.code, states.stderr]).toEqual([0, ""]);
    expect(states.stdout).toContain("class do_start_checkout done\n  class do_check_balance running");
    const sequence = await look("orders", "diagram", ID, "--schema", "order", "--sequence");
    expect(sequence.stdout).toContain("Note over at_payment_commands: check-balance: no answer yet");
    expect((await look("orders", "diagram", "o-2", "--schema", "order")).code).toBe(1);
  });

  test("draws a checkout without a coordinator from the row at home, with what other services told", async () => {
    const id = OrderId.make("o-drawn");
    await inSchema("checkout", commit(atHome.save([{ key: id, before: atHome.initial, after: stuckAtHome(id, NOW, "capture-payment") }])));
    const { code, stdout, stderr } = await look("orders", "diagram", id, "--schema", "checkout");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("class undo_capture_payment stuck");
    const sequence = await look("orders", "diagram", id, "--schema", "checkout", "--sequence");
    expect(sequence.stdout).toContain("compensationFailed, holdExpired at commit-stock");
    expect(sequence.stdout).toContain("stuck at capture-payment, waits for a person");
  });

  test("ends with 1 for an order that is not there", async () => {
    expect(await look("orders", "show", "o-2", "--schema", "order", "--schema", "checkout")).toEqual({
      code: 1,
      stdout: "",
      stderr: "saga: no order o-2 in schema order, schema checkout",
    });
  });

  test("ends with 1, and says what to do, where nothing was migrated", async () => {
    const { code, stderr } = await look("orders", "show", ID, "--schema", "nowhere");
    expect(code).toBe(1);
    expect(stderr).toContain("run the migrations");
  });

  test("ends with 3 while an undo waits for a person, and shows why the checkout turned around", async () => {
    const stuck = { ...stateOf(ID, NOW).saga, status: "compensationFailed", failure: { step: "fulfill", reason: "fulfillmentFailed" } };
    await saved(stuck, "compensationFailed", 2);
    const { code, stdout, stderr } = await look("orders", "show", ID, "--schema", "order");
    expect(code).toBe(3);
    expect(stdout).toContain("checkout v1: compensationFailed, fulfillmentFailed at fulfill");
    expect(stderr).toContain("waits for a person");
  });

  test("shows name and status of an instance that it cannot read", async () => {
    await saved({ from: "a later version" }, "running", 3);
    const { code, stdout } = await look("orders", "show", ID, "--schema", "order");
    expect(code).toBe(0);
    expect(stdout).toContain("checkout v1: running\nits steps are of a version that this one cannot read");
    expect((await look("orders", "diagram", ID, "--schema", "order")).stderr).toContain("of version 1, which this program cannot draw");
  });
});

describe("saga sagas versions", () => {
  test("lists the versions that have run, and their live instances, those of unknown shape too", async () => {
    const before = JSON.parse((await look("sagas", "versions", "--schema", "order", "--json")).stdout);
    expect(before).toEqual([{ schema: "order", saga: "checkout", version: 1, fingerprint: null, live: 1 }]);
    await inSchema("order", SagaStart.check(definition));
    const { code, stdout } = await look("sagas", "versions", "checkout", "--schema", "order");
    expect(code).toBe(0);
    expect(stdout).toMatch(/order +checkout +1 +[0-9a-f]{16} +1/);
    expect((await look("sagas", "versions", "trip", "--schema", "order")).stdout).toBe("SCHEMA  SAGA  VERSION  FINGERPRINT  LIVE");
  });

  test("counts the rows of a checkout without a coordinator beside the fingerprint of their service's part", async () => {
    const home = Saga.choreograph(definition, Checkout.distribution).home;
    const id = OrderId.make("o-home");
    await inSchema("order", commit(atHome.save([{ key: id, before: atHome.initial, after: stuckAtHome(id, NOW, "capture-payment") }])));
    const listed = async (): Promise<unknown> => JSON.parse((await look("sagas", "versions", "--schema", "order", "--json")).stdout);
    const kept = { schema: "order", saga: "checkout", version: 1, fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/), live: 1 };
    expect(await listed()).toEqual([kept, { ...kept, fingerprint: null }]);
    await saved(null, "completed", 4);
    await inSchema("order", SagaStart.checkProjection(home));
    expect(await listed()).toEqual([
      { ...kept, live: 0 },
      { ...kept, saga: "checkout/order" },
    ]);
  });
});

describe("saga outbox status", () => {
  test("shows an empty outbox as one", async () => {
    expect(await look("outbox", "status", "--schema", "checkout", "--json")).toEqual({
      code: 0,
      stdout: JSON.stringify([{ schema: "checkout", pending: 0, oldestAt: null, parked: 0, held: 0 }], null, 2),
      stderr: "",
    });
    expect((await look("outbox", "status", "--schema", "checkout")).stdout).toMatch(/^checkout +0 +- +0 +0$/m);
  });

  test("counts what waits, and its age", async () => {
    const two = [message(), message()];
    await inSchema("order", commit(Effect.flatMap(Outbox, (outbox) => outbox.append(two))));
    const { code, stdout } = await look("outbox", "status", "--schema", "order", "--schema", "checkout");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^order +2 +\d+ s +0 +0$/m);
    expect(stdout).toMatch(/^checkout +0 +- +0 +0$/m);
  });

  test("ends with 3 while messages are parked", async () => {
    await inSchema(
      "order",
      Effect.flatMap(Outbox, (outbox) =>
        Effect.flatMap(outbox.pendingShards, (shards) =>
          Effect.forEach(shards, (shard) => outbox.drain(shard, 10, (messages) => Effect.succeed(messages.map(() => "Refused" as const)))),
        ),
      ),
    );
    const { code, stdout, stderr } = await look("outbox", "status", "--schema", "order");
    expect([code, stderr]).toEqual([3, "saga: refused by the broker for good, waiting for a person: order"]);
    expect(stdout).toMatch(/^order +0 +- +2 +0$/m);
  });
});

describe("saga outbox parked, retry, discard and decisions", () => {
  const listed = async (): Promise<ReadonlyArray<{ messageId: string; blocks: boolean; held: number }>> => {
    const found: Array<{ messageId: string; blocks: boolean; held: number }> = JSON.parse(
      (await look("outbox", "parked", "--schema", "order", "--json")).stdout,
    );
    return found;
  };

  test("lists what the broker refused, without payloads, and ends with 3", async () => {
    const { code, stdout, stderr } = await look("outbox", "parked", "--schema", "order", "--schema", "checkout");
    expect([code, stderr]).toEqual([3, "saga: 2 parked messages"]);
    expect(stdout).toMatch(/^order +\S+ +test\.happened\.v1 +test\.happened +o-1 +\S+Z +0$/m);
    expect(stdout).not.toContain(TOKEN);
    expect(await look("outbox", "parked", "--schema", "checkout", "--json")).toEqual({ code: 0, stdout: "[]", stderr: "" });
  });

  test("retries one, and says so in the log", async () => {
    const [first] = await listed();
    const id = first?.messageId ?? "";
    const { code, stdout, stderr } = await look("outbox", "retry", id, "--schema", "order");
    expect([code, stdout]).toEqual([0, `retried ${id}`]);
    expect(stderr).toContain(`retried by operator: message ${id}`);
    expect(await listed()).toHaveLength(1);
    expect(JSON.parse((await look("outbox", "status", "--schema", "order", "--json")).stdout)).toMatchObject([{ pending: 1, parked: 1 }]);
  });

  test("discards only what is confirmed, and only what is parked", async () => {
    const [left] = await listed();
    const id = left?.messageId ?? "";
    expect(await look("outbox", "discard", id, "--schema", "order")).toMatchObject({ code: 2 });
    expect(await listed()).toHaveLength(1);
    const flags = ["--schema", "order", "--by", "ada", "--reason", "a test's own", "--yes", "--json"];
    const refused = await look("outbox", "discard", id, "m-unknown", ...flags);
    expect([refused.code, JSON.parse(refused.stdout)]).toEqual([1, { schema: "order", discarded: [], unknown: ["m-unknown"] }]);
    expect(refused.stderr).toContain("nothing was discarded: not parked in schema order: m-unknown");
    expect(await look("outbox", "retry", id, "m-unknown", "--schema", "order")).toMatchObject({ code: 1, stdout: "" });
    expect(await listed()).toHaveLength(1);
    const { code, stdout } = await look("outbox", "discard", id, ...flags);
    expect([code, JSON.parse(stdout)]).toEqual([0, { schema: "order", discarded: [id], unknown: [] }]);
    expect(await look("outbox", "parked", "--schema", "order")).toMatchObject({ code: 0 });
    expect(await look("outbox", "retry", id, "--schema", "order")).toMatchObject({ code: 1, stdout: "" });
  });

  test("shows afterwards who decided what, and why, the newest first", async () => {
    const { code, stdout } = await look("outbox", "decisions", "--schema", "order");
    expect(code).toBe(0);
    const [, newest, older] = stdout.split("\n");
    expect(newest).toMatch(/^order +\S+Z +ada +discarded +\S+ +test\.happened\.v1 +test\.happened +o-1 +a test's own$/);
    expect(older).toMatch(/^order +\S+Z +operator +retried +\S+ +test\.happened\.v1 +test\.happened +o-1$/);
    const json: unknown = JSON.parse((await look("outbox", "decisions", "--schema", "order", "--max", "1", "--json")).stdout);
    expect(json).toMatchObject([{ schema: "order", by: "ada", decision: "discarded", reason: "a test's own" }]);
    expect(await look("outbox", "retry", "m-1", "--schema", "order", "--reason", "x".repeat(501))).toMatchObject({ code: 2 });
  });

  test("asks for the one schema of the messages", async () => {
    expect(await look("outbox", "retry", "m-1", "--schema", "order", "--schema", "checkout")).toMatchObject({ code: 2 });
  });
});

describe("saga dlq list", () => {
  const letter = (consumer: string, id: string, at: number): DeadLetter => ({
    consumer,
    message: message(id),
    position: "inventory.commands/3@1207",
    problem: "schemaMismatch",
    detail: "the body does not match",
    attempts: 3,
    at,
  });

  test("ends with 0 and an empty list where there are none", async () => {
    expect(await look("dlq", "list", "--schema", "order", "--json")).toEqual({ code: 0, stdout: "[]", stderr: "" });
  });

  test("lists those of every consumer, oldest first, without payloads, and ends with 3", async () => {
    const letters = [letter("stock", "m-2", NOW + 1), letter("stock", "m-1", NOW), letter("payment", "m-3", NOW)];
    await inSchema("order", commit(Effect.flatMap(DeadLetters, (store) => store.append(letters))));
    const { code, stdout, stderr } = await look("dlq", "list", "--schema", "order", "--json");
    expect([code, stderr]).toEqual([3, "saga: 3 dead letters"]);
    expect(JSON.parse(stdout)).toMatchObject([
      { consumer: "payment", messageId: "m-3" },
      {
        consumer: "stock",
        messageId: "m-1",
        problem: "schemaMismatch",
        attempts: 3,
        position: "inventory.commands/3@1207",
        at: "2026-01-02T03:04:05.000Z",
      },
      { consumer: "stock", messageId: "m-2" },
    ]);
    expect(stdout).not.toContain(TOKEN);
    expect((await look("dlq", "list", "--schema", "order")).stdout).not.toContain(TOKEN);
  });

  test("lists those of one consumer, and no more than asked for", async () => {
    const { code, stdout, stderr } = await look("dlq", "list", "--schema", "order", "--consumer", "stock", "--max", "1", "--json");
    expect([code, stderr]).toEqual([3, "saga: 1 dead letter"]);
    expect(JSON.parse(stdout)).toMatchObject([{ messageId: "m-1" }]);
  });
});
