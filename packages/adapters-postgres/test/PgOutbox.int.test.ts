/** The outbox's relays on a real server: one owner a shard, failing over, never out of order. */
import { Limits, type Message, Outbox, OUTBOX_SHARDS, type PublishVerdict, Shard, UnitOfWork } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { randomBytes } from "node:crypto";
import { Deferred, Duration, Effect, Fiber, ManagedRuntime, Predicate } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClaim from "../src/PgClaim.ts";
import * as PgClient from "../src/PgClient.ts";
import * as PgOutboxRing from "../src/PgOutboxRing.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Database from "./Database.ts";
import { message } from "./Samples.ts";

const server = realServer("postgres");

type Runtime = ManagedRuntime.ManagedRuntime<PgStores.PgStores | PgClient.PgClient, unknown>;

describe.runIf(server !== null)("relays on a server", () => {
  let database: Database.Database;
  /** Two processes of one service, and another service. */
  let left: Runtime;
  let right: Runtime;
  let other: Runtime;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    const runtimeOf = (schema: string, applicationName: string): Runtime =>
      ManagedRuntime.make(PgStores.layer({ url: database.url, schema, applicationName }));
    left = runtimeOf("shop", "left");
    right = runtimeOf("shop", "right");
    other = runtimeOf("stock", "other");
    await Promise.all([left.context(), right.context(), other.context()]);
  });
  afterAll(async () => {
    await Promise.all([left.dispose(), right.dispose(), other.dispose()]);
    await database.drop();
  });

  const append = (messages: ReadonlyArray<Message.Encoded>) =>
    Effect.flatMap(UnitOfWork, (unit) => unit.commit(Effect.flatMap(Outbox, (outbox) => outbox.append(messages))));

  const accept = (seen: Array<Message.Encoded>) => (batch: ReadonlyArray<Message.Encoded>) =>
    Effect.sync((): ReadonlyArray<PublishVerdict> => {
      seen.push(...batch);
      return batch.map(() => "Published");
    });

  const drain = (shard: number, seen: Array<Message.Encoded> = [], max = 100) =>
    Effect.flatMap(Outbox, (outbox) => outbox.drain(shard, max, accept(seen)));

  const numbers = (messages: ReadonlyArray<Message.Encoded>): ReadonlyArray<unknown> =>
    messages.map((one): unknown => JSON.parse(one.payload));

  /** A drain that has read its batch and waits in `publish`. */
  const stuck = (runtime: Runtime, shard: number) => {
    const reached = Deferred.makeUnsafe<void>();
    const proceed = Deferred.makeUnsafe<void>();
    const fiber = runtime.runFork(
      Effect.flatMap(Outbox, (outbox) =>
        outbox.drain(shard, 100, (batch) =>
          Effect.as(
            Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(proceed)),
            batch.map((): PublishVerdict => "Published"),
          ),
        ),
      ),
    );
    return { fiber, reached: Effect.runPromise(Deferred.await(reached)), proceed: Deferred.succeed(proceed, undefined) };
  };

  it("a claim of large messages ends at a size, never before its first; what is behind comes with the next ones, in order", async () => {
    const shard = Shard.of("large", OUTBOX_SHARDS);
    const size = PgClaim.BYTES_MAX / 5;
    const payloads = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => JSON.stringify({ n, text: randomBytes(size / 2).toString("hex") }));
    payloads.push(JSON.stringify({ n: 9, text: randomBytes(3 * size).toString("hex") }), JSON.stringify({ n: 10, text: "" }));
    await left.runPromise(append(payloads.map((payload) => ({ ...message("large", 0), payload }))));
    const passes: Array<ReadonlyArray<unknown>> = [];
    for (;;) {
      const seen: Array<Message.Encoded> = [];
      await left.runPromise(drain(shard, seen));
      if (seen.length === 0) break;
      passes.push(numbers(seen).map((body) => (Predicate.hasProperty(body, "n") ? body.n : body)));
    }
    expect(passes).toEqual([[1, 2, 3, 4, 5], [6, 7, 8, 9], [10]]);
  });

  it("a claim of messages that are stored compressed ends at a size as well: not at what is stored of them", async () => {
    const shard = Shard.of("compressed", OUTBOX_SHARDS);
    const payload = JSON.stringify("y".repeat(Limits.MESSAGE_BYTES_MAX - 2));
    await left.runPromise(append(Array.from({ length: 100 }, () => ({ ...message("compressed", 0), payload }))));
    const seen: Array<Message.Encoded> = [];
    await left.runPromise(drain(shard, seen));
    expect(seen.length * payload.length).toBeLessThan(16 * PgClaim.BYTES_MAX);
    while (seen.length < 100) await left.runPromise(drain(shard, seen));
  });

  it("a shard has one owner among all processes, and each service its own shards", async () => {
    const shard = Shard.of("owned", OUTBOX_SHARDS);
    await left.runPromise(append([message("owned", 1)]));
    const owner = stuck(left, shard);
    await owner.reached;
    expect(await right.runPromise(drain(shard))).toEqual({ _tag: "Busy" });
    expect(await left.runPromise(drain(shard))).toEqual({ _tag: "Busy" });
    expect(await other.runPromise(drain(shard))).toMatchObject({ _tag: "Drained" });
    await Effect.runPromise(owner.proceed);
    expect(await Effect.runPromise(Fiber.join(owner.fiber))).toEqual({ _tag: "Drained", published: 1, refused: 0, held: 0 });
    expect(await right.runPromise(drain(shard))).toEqual({ _tag: "Drained", published: 0, refused: 0, held: 0 });
  });

  it("when an owner's connection dies, the next one begins with the oldest that was not marked", async () => {
    const shard = Shard.of("failover", OUTBOX_SHARDS);
    await left.runPromise(append([message("failover", 1), message("failover", 2)]));
    const owner = stuck(left, shard);
    await owner.reached;
    await left.runPromise(append([message("failover", 3)]));
    await Database.administer(
      database.url,
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'left' and state = 'idle in transaction'",
    );
    const seen: Array<Message.Encoded> = [];
    expect(await right.runPromise(drain(shard, seen))).toMatchObject({ published: 3 });
    expect(numbers(seen)).toEqual([1, 2, 3]);
    // The zombie wakes up: it published before, and it can mark nothing any more.
    await Effect.runPromise(owner.proceed);
    expect(await Effect.runPromise(Effect.flip(Fiber.join(owner.fiber)))).toMatchObject({ reason: "Unavailable" });
  });

  it("an interrupted drain gives its shard back at once, with nothing marked", async () => {
    const shard = Shard.of("interrupted", OUTBOX_SHARDS);
    await left.runPromise(append([message("interrupted", 1)]));
    const owner = stuck(left, shard);
    await owner.reached;
    await Effect.runPromise(Fiber.interrupt(owner.fiber));
    const seen: Array<Message.Encoded> = [];
    expect(await right.runPromise(drain(shard, seen))).toMatchObject({ published: 1 });
    expect(numbers(seen)).toEqual([1]);
  });

  it("what another process appended is noticed by polling", async () => {
    const begun = Date.now();
    const waiting = right.runPromise(
      Effect.flatMap(Outbox, (outbox) => Effect.andThen(outbox.awaitPending(Duration.zero), outbox.awaitPending(Duration.seconds(20)))),
    );
    await left.runPromise(append([message("polled", 1)]));
    await waiting;
    expect(Date.now() - begun).toBeLessThan(5_000);
    await right.runPromise(drain(Shard.of("polled", OUTBOX_SHARDS)));
  });

  it("four competing relays in two processes invert no key and lose nothing, while writers go on", async () => {
    const keys = Array.from({ length: 20 }, (_, index) => `race-${index}`);
    const rounds = 15;
    const seen: Array<Message.Encoded> = [];
    let isWriting = true;
    const relay = Effect.gen(function* () {
      const outbox = yield* Outbox;
      for (;;) {
        const shards = yield* outbox.pendingShards;
        if (shards.length === 0 && !isWriting) return;
        for (const shard of shards) yield* outbox.drain(shard, 7, (batch) => Effect.andThen(Effect.sleep("1 millis"), accept(seen)(batch)));
        yield* Effect.sleep("1 millis");
      }
    });
    const writer = (key: string) =>
      Effect.forEach(
        Array.from({ length: rounds }, (_, round) => round),
        (round) => append([message(key, 2 * round), message(key, 2 * round + 1)]),
        {
          discard: true,
        },
      );
    const relays = [left, left, right, right].map((runtime) => runtime.runPromise(relay));
    await left.runPromise(Effect.forEach(keys, writer, { concurrency: 4, discard: true }));
    isWriting = false;
    await Promise.all(relays);
    for (const key of keys) {
      expect(numbers(seen.filter((one) => one.key === key))).toEqual(Array.from({ length: 2 * rounds }, (_, index) => index));
    }
  });

  it("tells its backlog, and forgets only what was sent", async () => {
    const shard = Shard.of("backlog", OUTBOX_SHARDS);
    await other.runPromise(append([message("backlog", 1, { occurredAt: 1_000 }), message("backlog", 2, { occurredAt: 2_000 })]));
    const refuseFirst = Effect.flatMap(Outbox, (outbox) => outbox.drain(shard, 1, () => Effect.succeed(["Refused"])));
    expect(await other.runPromise(refuseFirst)).toEqual({ _tag: "Drained", published: 0, refused: 1, held: 0 });
    const backlog = Effect.flatMap(Outbox, (outbox) => outbox.backlog);
    expect(await other.runPromise(backlog)).toEqual({ pending: 1, oldestAt: 2_000, parked: 1, held: 0 });
    const sweep = Effect.flatMap(Outbox, (outbox) => outbox.sweep(Date.now() + 2 * PgOutboxRing.PERIOD_MS));
    expect(await other.runPromise(sweep)).toBe(0);
    await other.runPromise(drain(shard));
    expect(await other.runPromise(backlog)).toEqual({ pending: 0, oldestAt: null, parked: 1, held: 1 });
    expect(await other.runPromise(sweep)).toBe(0);
    const retry = Effect.flatMap(Outbox, (outbox) =>
      Effect.flatMap(outbox.parked(10), (parked) =>
        outbox.settleParked(
          parked.map((one) => one.message.id),
          { action: "Retry", by: "ada", reason: "" },
        ),
      ),
    );
    expect(await other.runPromise(retry)).toHaveLength(1);
    await other.runPromise(drain(shard));
    expect(await other.runPromise(backlog)).toEqual({ pending: 0, oldestAt: null, parked: 0, held: 0 });
    expect(await other.runPromise(sweep)).toBe(2);
  });

  it("has rows as Debezium's event router reads them", async () => {
    const sent = message("cdc-1", { total: 12 }, { topic: "order.created", type: "order.created.v1" });
    await other.runPromise(append([sent]));
    const read = Effect.flatMap(PgClient.PgClient, (client) =>
      client.query(
        "Test.read",
        `select id, aggregatetype, aggregateid, type, topic, payload from ${client.quoted}.outbox where aggregateid = 'cdc-1'`,
      ),
    );
    expect((await other.runPromise(read)).rows).toEqual([
      {
        id: sent.id,
        aggregatetype: "order",
        aggregateid: "cdc-1",
        type: "order.created.v1",
        topic: "order.created",
        payload: { total: 12 },
      },
    ]);
  });

  it("refuses what it cannot store, and the transaction with it", async () => {
    const refused = (over: Partial<Message.Encoded>) => other.runPromise(Effect.flip(append([message("odd", 1, over)])));
    expect(await refused({ payload: "not json" })).toMatchObject({ reason: "Refused" });
    expect(await refused({ id: "not-a-uuid" })).toMatchObject({ reason: "Refused" });
    expect(await refused({ key: "k".repeat(300) })).toMatchObject({ reason: "Refused" });
    expect(await refused({ payload: '"\\u0000"' })).toMatchObject({
      reason: "Refused",
      message: "SQLSTATE 22P05 untranslatable_character",
    });
  });
});
