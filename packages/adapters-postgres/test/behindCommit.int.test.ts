/** A relay that rests takes the shard behind a commit of its process. How long that COMMIT takes, and how it ends, is up to a gate. */
import { type Message, Outbox, OUTBOX_SHARDS, type PublishVerdict, Shard, UnitOfWork } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Duration, Effect, Fiber, Layer, ManagedRuntime } from "effect";
import { TestClock } from "effect/testing";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Database from "./Database.ts";
import { message } from "./Samples.ts";

const server = realServer("postgres");

const shardOf = (key: string): number => Shard.of(key, OUTBOX_SHARDS);
const KEY = "here";
const SHARD = shardOf(KEY);
/** Of another shard. */
const ELSEWHERE = "elsewhere";

const GATE = 4_711;
/** A row of it lets COMMIT wait for the gate; then it fails, if the row says with what. */
const GATED = `
create table gated (sqlstate text);
create function pass_gate() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock(${GATE});
  if new.sqlstate is not null then raise exception 'refused at COMMIT' using errcode = new.sqlstate; end if;
  return null;
end $$;
create constraint trigger gate after insert on gated deferrable initially deferred for each row execute function pass_gate()`;

describe.runIf(server !== null)("behind a commit", () => {
  let database: Database.Database;
  let keeper: pg.Client;
  let runtime: ManagedRuntime.ManagedRuntime<PgStores.PgStores | PgClient.PgClient, unknown>;

  beforeAll(async () => {
    expect(shardOf(ELSEWHERE)).not.toBe(SHARD);
    database = await Database.create(server ?? "");
    keeper = new pg.Client({ connectionString: database.url });
    await keeper.connect();
    await keeper.query(GATED);
  });
  afterAll(async () => {
    await keeper.end();
    await database.drop();
  });
  beforeEach(async () => {
    // One connection is the writer's while its COMMIT hangs, the other one is free. Time passes only where a test says so.
    const stores = PgStores.layer({ url: database.url, schema: "shop", applicationName: "shop", poolSize: 2, lockTimeout: "20 seconds" });
    runtime = ManagedRuntime.make(Layer.merge(stores, TestClock.layer()));
    // The listener's connection ends the first wait; nothing ends the next one by itself.
    await runtime.runPromise(rest);
    await keeper.query("select pg_advisory_lock($1)", [GATE]);
  });
  afterEach(async () => {
    await open();
    await runtime.dispose();
    await keeper.query(`truncate shop.outbox`);
  });

  const open = () => keeper.query("select pg_advisory_unlock_all()");

  const rest = Effect.flatMap(Outbox, (outbox) => outbox.awaitPending(Duration.hours(1)));

  /** A commit that hangs at the gate, by a process whose relay rests; with the shards that the relay knows of then. */
  const hang = async (appends: ReadonlyArray<ReadonlyArray<Message.Encoded>>, sqlstate: string | null = null) => {
    const resting = runtime.runFork(rest);
    let writer: number | undefined;
    const body = Effect.gen(function* () {
      const client = yield* PgClient.PgClient;
      const outbox = yield* Outbox;
      const { rows } = yield* client.within<{ readonly pid: number }>(
        "test",
        "insert into gated values ($1) returning pg_backend_pid() as pid",
        [sqlstate],
      );
      writer = rows[0]?.pid;
      for (const messages of appends) yield* outbox.append(messages);
    });
    const commit = runtime.runFork(Effect.flatMap(UnitOfWork, (unit) => unit.commit(body)));
    return { commit, known: await Effect.runPromise(Fiber.join(resting)), writer: () => writer };
  };

  /** Which connection holds the shard, asked while a batch is being published. */
  const owners = async () =>
    (await keeper.query<{ readonly pid: number }>(`select pid from pg_locks where locktype = 'advisory' and objid = $1`, [SHARD])).rows;

  const drain = (into: { readonly seen: Array<unknown>; pids?: ReadonlyArray<{ readonly pid: number }> }, shard = SHARD) =>
    Effect.flatMap(Outbox, (outbox) =>
      outbox.drain(shard, 100, (batch) =>
        Effect.promise(async (): Promise<ReadonlyArray<PublishVerdict>> => {
          into.pids = await owners();
          into.seen.push(...batch.map((one): unknown => JSON.parse(one.payload)));
          return batch.map(() => "Published");
        }),
      ),
    );

  const connections = async () =>
    (await keeper.query(`select from pg_stat_activity where application_name = 'shop' and state like 'idle in transaction%'`)).rowCount;

  it("a relay at rest drains on the writer's connection, right behind its COMMIT", async () => {
    const { commit, known, writer } = await hang([[message(KEY, 1)], [message(KEY, 2)]]);
    expect(known).toEqual([SHARD]);
    const into: Parameters<typeof drain>[0] = { seen: [] };
    const draining = runtime.runFork(drain(into));
    await open();
    await Effect.runPromise(Fiber.join(commit));
    expect(await Effect.runPromise(Fiber.join(draining))).toMatchObject({ _tag: "Drained", published: 2 });
    expect(into.seen).toEqual([1, 2]);
    expect(into.pids).toEqual([{ pid: writer() }]);
  });

  it("a COMMIT that hangs holds no relay up: it goes on with other shards, and hears of the commit later", async () => {
    const { commit } = await hang([[message(KEY, 1)]]);
    const late = runtime.runFork(drain({ seen: [] }));
    await runtime.runPromise(TestClock.adjust("100 millis"));
    expect(await Effect.runPromise(Fiber.join(late))).toEqual({ _tag: "Busy" });
    expect(await runtime.runPromise(drain({ seen: [] }, shardOf(ELSEWHERE)))).toMatchObject({ _tag: "Drained" });
    await open();
    await Effect.runPromise(Fiber.join(commit));
    expect(await runtime.runPromise(rest)).toEqual([SHARD]);
    const into = { seen: [] };
    // What was given up has the shard for a moment still: a relay comes back to what is pending.
    await runtime.runPromise(Effect.repeat(drain(into), { until: ({ _tag }) => _tag === "Drained" }));
    expect(into.seen).toEqual([1]);
  });

  it("a COMMIT that fails publishes nothing, and costs neither the relay nor the pool a connection", async () => {
    for (let time = 0; time < 3; time++) {
      const { commit } = await hang([[message(KEY, 1)]], "23514");
      const into = { seen: [] };
      const draining = runtime.runFork(drain(into));
      await open();
      expect(await Effect.runPromise(Effect.flip(Fiber.join(commit)))).toMatchObject({ reason: "Refused" });
      expect(await Effect.runPromise(Fiber.join(draining))).toMatchObject({ _tag: "Drained", published: 0 });
      expect(into.seen).toEqual([]);
      await keeper.query("select pg_advisory_lock($1)", [GATE]);
    }
    expect(await connections()).toBe(0);
  });

  it("a COMMIT that fails because the connection is of no more use closes it when the drain behind it has ended", async () => {
    const unit = await runtime.runPromise(UnitOfWork);
    await runtime.runPromise(unit.commit(Effect.flatMap(Outbox, (outbox) => outbox.append([message(KEY, 0)]))));
    await runtime.runPromise(rest);
    // What a pooler in between says that lost a prepared statement.
    const { commit, writer } = await hang([[message(KEY, 1)]], "26000");
    const into: Parameters<typeof drain>[0] = { seen: [] };
    const draining = runtime.runFork(drain(into));
    await open();
    expect(await Effect.runPromise(Effect.flip(Fiber.join(commit)))).toMatchObject({ reason: "Unavailable" });
    expect(await Effect.runPromise(Fiber.join(draining))).toMatchObject({ _tag: "Drained", published: 1 });
    expect(into.seen).toEqual([0]);
    expect(into.pids).toEqual([{ pid: writer() }]);
    await expect.poll(async () => (await keeper.query("select from pg_stat_activity where pid = $1", [writer()])).rowCount).toBe(0);
  });

  it("a transaction that can only roll back publishes nothing, and neither does a drain behind it", async () => {
    const resting = runtime.runFork(rest);
    const body = Effect.gen(function* () {
      yield* Effect.flatMap(Outbox, (outbox) => outbox.append([message(KEY, 1)]));
      const native = yield* Effect.flatMap(PgClient.PgClient, (client) => client.native);
      // Nobody awaits it: COMMIT is the first to know.
      if (native._tag === "Pool") native.client.query("select 1 / 0").catch(() => undefined);
    });
    const commit = runtime.runFork(Effect.flatMap(UnitOfWork, (unit) => unit.commit(body)));
    expect(await Effect.runPromise(Fiber.join(resting))).toEqual([SHARD]);
    const into = { seen: [] };
    expect(await runtime.runPromise(drain(into))).toMatchObject({ published: 0 });
    expect(await Effect.runPromise(Effect.flip(Fiber.join(commit)))).toMatchObject({ reason: "Refused" });
    expect(into.seen).toEqual([]);
    expect(await connections()).toBe(0);
  });

  it("when the connection dies in COMMIT, both hear of it, and what comes next goes well", async () => {
    const { commit, writer } = await hang([[message(KEY, 1)]]);
    const into = { seen: [] };
    const draining = runtime.runFork(drain(into));
    await keeper.query("select pg_terminate_backend($1)", [writer()]);
    expect(await Effect.runPromise(Effect.flip(Fiber.join(commit)))).toMatchObject({ reason: "Unavailable" });
    expect(await Effect.runPromise(Effect.flip(Fiber.join(draining)))).toMatchObject({ reason: "Unavailable" });
    const next = await hang([[message(KEY, 2)]]);
    const after = runtime.runFork(drain(into));
    await open();
    await Effect.runPromise(Fiber.join(next.commit));
    expect(await Effect.runPromise(Fiber.join(after))).toMatchObject({ published: 1 });
    expect(into.seen).toEqual([2]);
  });

  it("a relay that is stopped behind a COMMIT waits for nothing, and the commit is untouched", async () => {
    const { commit } = await hang([[message(KEY, 1)]]);
    const draining = runtime.runFork(drain({ seen: [] }));
    await Effect.runPromise(Fiber.interrupt(draining));
    await open();
    await Effect.runPromise(Fiber.join(commit));
    const into = { seen: [] };
    await runtime.runPromise(Effect.repeat(drain(into), { until: ({ _tag }) => _tag === "Drained" }));
    expect(into.seen).toEqual([1]);
    expect(await connections()).toBe(0);
  });

  it("nobody waits behind a commit to several shards", async () => {
    const several = runtime.runFork(rest);
    await open();
    await runtime.runPromise(
      Effect.flatMap(UnitOfWork, (unit) =>
        unit.commit(Effect.flatMap(Outbox, (outbox) => outbox.append([message(KEY, 1), message(ELSEWHERE, 2)]))),
      ),
    );
    const both = await Effect.runPromise(Fiber.join(several));
    expect([...both].toSorted((left, right) => left - right)).toEqual([SHARD, shardOf(ELSEWHERE)].toSorted((left, right) => left - right));
    for (const shard of both) expect(await runtime.runPromise(drain({ seen: [] }, shard))).toMatchObject({ published: 1 });
  });

  it("one relay is behind a commit, others have connections of their own", async () => {
    const { commit } = await hang([[message(KEY, 3)]]);
    const first = runtime.runFork(drain({ seen: [] }));
    expect(await runtime.runPromise(drain({ seen: [] }))).toMatchObject({ published: 0 });
    await open();
    await Effect.runPromise(Fiber.join(commit));
    expect(await Effect.runPromise(Fiber.join(first))).toMatchObject({ published: 1 });
  });
});
