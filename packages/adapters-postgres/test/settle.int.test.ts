/** A COMMIT whose answer is lost is settled before anybody hears of it (docs/decisions/0006-unknown-commit.md). */
import { DocumentStore, Outbox, type ParkedAction, UnitOfWork } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Clock, Effect, ManagedRuntime, References } from "effect";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import * as PgBatches from "../src/PgBatches.ts";
import * as PgClient from "../src/PgClient.ts";
import type { PgOptions } from "../src/PgConfig.ts";
import * as PgStores from "../src/PgStores.ts";
import * as PgSweep from "../src/PgSweep.ts";
import * as CommitProxy from "./CommitProxy.ts";
import * as Database from "./Database.ts";
import { document, message } from "./Samples.ts";

const server = realServer("postgres");
const SCHEMA = "settle";
/** A part of the question, and of nothing else. */
const QUESTION = "set fenced";
const LONG_AGO_MS = 86_400_000;

type Runtime = ManagedRuntime.ManagedRuntime<PgStores.PgStores | PgClient.PgClient, unknown>;

describe.runIf(server !== null)("a COMMIT whose answer is lost", () => {
  let database: Database.Database;
  let proxy: CommitProxy.CommitProxy;
  let admin: pg.Client;
  const runtimes: Array<Runtime> = [];

  const runtimeOf = (options: Partial<PgOptions> = {}): Runtime => {
    const runtime = ManagedRuntime.make(PgStores.layer({ url: proxy.url, schema: SCHEMA, ...options }));
    runtimes.push(runtime);
    return runtime;
  };

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    admin = new pg.Client({ connectionString: database.url });
    await admin.connect();
  });
  beforeEach(async () => {
    proxy = await CommitProxy.start(database.url);
  });
  afterEach(async () => {
    await Promise.all(runtimes.splice(0).map((runtime) => runtime.dispose()));
    await proxy.stop();
  });
  afterAll(async () => {
    await admin.end();
    await database.drop();
  });

  const commit = <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.flatMap(UnitOfWork, (unit) => unit.commit(body));
  const save = (id: string) => Effect.flatMap(DocumentStore, (store) => store.save([document(id, 1, {})]));
  const count = async (text: string): Promise<number> =>
    Number((await admin.query<{ n: string }>(`select count(*) as n ${text}`)).rows[0]?.n);
  const isStored = async (id: string): Promise<boolean> => (await count(`from ${SCHEMA}.documents where id = '${id}'`)) === 1;
  const until = async (condition: () => Promise<boolean>): Promise<void> => {
    while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  /** The sessions that asked last, by whether they wait for the original. */
  const asking = (waits: boolean) =>
    count(
      `from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database() and query ~ '${QUESTION}'
       and coalesce(wait_event_type = 'Lock', false) = ${waits}`,
    );
  const isWaiting = () => until(async () => (await asking(true)) > 0);

  /** Commits one document while the proxy follows its rules. */
  const commitLosing = async (runtime: Runtime, id: string, ...rules: ReadonlyArray<CommitProxy.Rule>) => {
    await runtime.context();
    proxy.plan(...rules);
    const exit = await runtime.runPromise(Effect.exit(commit(save(id))));
    expect(proxy.lost()).toBe(rules.length);
    return exit;
  };

  const LOST = { on: CommitProxy.COMMIT, loses: "answer" } as const;
  const UNSENT = { on: CommitProxy.COMMIT, loses: "request" } as const;
  const HELD = { on: CommitProxy.COMMIT, loses: "client" } as const;

  it("is a success when it was committed", async () => {
    expect((await commitLosing(runtimeOf(), "answer", LOST))._tag).toBe("Success");
    expect(await isStored("answer")).toBe(true);
  });

  it("is Unavailable when it never reached the server, and may be run again", async () => {
    const runtime = runtimeOf();
    expect(JSON.stringify(await commitLosing(runtime, "request", UNSENT))).toMatch(/Unavailable.*the commit did not happen/);
    expect(await isStored("request")).toBe(false);
    await runtime.runPromise(commit(save("request")));
    expect(await isStored("request")).toBe(true);
  });

  for (const how of ["deliver", "drop"] as const) {
    it(`waits while the server still has the transaction open, and hears how it ended: ${how}`, async () => {
      const runtime = runtimeOf({ lockTimeout: "100 millis" });
      const asked = commitLosing(runtime, `held-${how}`, HELD);
      await isWaiting();
      // Longer than one lock timeout: it is asked again.
      await until(async () => (await asking(false)) > 0);
      await isWaiting();
      proxy.letGo(how);
      const exit = await asked;
      if (how === "deliver") expect(exit._tag).toBe("Success");
      else expect(JSON.stringify(exit)).toMatch(/Unavailable.*the commit did not happen/);
      expect(await isStored(`held-${how}`)).toBe(how === "deliver");
    });
  }

  it.each([
    ["forth", 3_600_000],
    ["back", -3_600_000],
  ])("hears of it, or gives up, in its time while the time of day is set %s", async (way, step) => {
    const runtime = runtimeOf({ lockTimeout: "100 millis", settleTimeout: "1 second" });
    const leaping = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
      const clock = yield* Clock.Clock;
      let looks = 0;
      const leaps: Clock.Clock = {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + step * (looks += 1),
        currentTimeMillis: Effect.sync(() => leaps.currentTimeMillisUnsafe()),
        currentTimeNanosUnsafe: () => BigInt(leaps.currentTimeMillisUnsafe()) * 1_000_000n,
        currentTimeNanos: Effect.sync(() => leaps.currentTimeNanosUnsafe()),
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: clock.monotonicTimeNanos,
        sleep: (duration) => clock.sleep(duration),
      };
      return yield* Effect.provideService(effect, Clock.Clock, leaps);
    });
    await runtime.context();
    proxy.plan(HELD);
    let hasEnded = false;
    const asked = runtime.runPromise(leaping(Effect.exit(commit(save(`leap-${way}`))))).finally(() => (hasEnded = true));
    await isWaiting();
    if (step > 0) {
      // Asked in vain once, then again.
      await until(async () => hasEnded || (await asking(false)) > 0);
      await until(async () => hasEnded || (await asking(true)) > 0);
      proxy.letGo("deliver");
      expect((await asked)._tag).toBe("Success");
    } else {
      expect(JSON.stringify(await asked)).toContain("Unknown");
      proxy.letGo("drop");
    }
  });

  it("is told right when the answer to the question is lost as well: a fence is not taken for a commit", async () => {
    const runtime = runtimeOf();
    const exit = await commitLosing(runtime, "twice-asked", UNSENT, { on: QUESTION, loses: "answer" }, { on: QUESTION, loses: "answer" });
    expect(JSON.stringify(exit)).toMatch(/Unavailable.*the commit did not happen/);
    expect(await isStored("twice-asked")).toBe(false);
  });

  it("stays a success when the answer to the question is lost as well", async () => {
    const exit = await commitLosing(
      runtimeOf(),
      "answer-twice",
      LOST,
      { on: QUESTION, loses: "answer" },
      { on: QUESTION, loses: "request" },
    );
    expect(exit._tag).toBe("Success");
    expect(await isStored("answer-twice")).toBe(true);
  });

  it("is Unavailable when the connection had died before, however often the fiber lets others run", async () => {
    const runtime = runtimeOf();
    const lose = Effect.flatMap(PgClient.PgClient, (client) =>
      client.use("test", async (native) => {
        if (native._tag !== "Pool") return;
        const { rows } = await native.client.query<{ pid: number }>("select pg_backend_pid() as pid");
        const gone = new Promise((resolve) => native.client.once("end", resolve));
        await admin.query("select pg_terminate_backend($1)", [rows[0]?.pid]);
        await gone;
      }),
    );
    // The fewest with which a fiber gets on. A rejection that nobody handles yet would end the process, and fails the test run.
    const yielding = Effect.provideService(commit(lose), References.MaxOpsBeforeYield, 3);
    expect(await runtime.runPromise(Effect.flip(yielding))).toMatchObject({
      message: expect.stringContaining("the commit did not happen"),
    });
  });

  it("is Unknown when nobody can be asked any more, and only then", async () => {
    const runtime = runtimeOf({ connectTimeout: "100 millis", settleTimeout: "1 second" });
    const exit = await commitLosing(runtime, "everything", { on: CommitProxy.COMMIT, loses: "everything" });
    expect(JSON.stringify(exit)).toMatch(/"reason":"Unknown"/);
    expect(await isStored("everything")).toBe(true);
  });

  describe("the question", () => {
    const ask = (id: string, begunAt: number) =>
      Effect.flatMap(PgClient.PgClient, (client) => PgBatches.ask(client, "Test.ask", id, begunAt));

    it("has one answer, however many ask at once", async () => {
      const runtime = runtimeOf();
      const id = PgBatches.nextId();
      const askers = Effect.forEach([...Array(8).keys()], () => ask(id, Date.now()), { concurrency: "unbounded" });
      expect(new Set(await runtime.runPromise(askers))).toEqual(new Set(["Absent"]));
    });

    it("has no answer about what may have been forgotten", async () => {
      expect(await runtimeOf().runPromise(ask(PgBatches.nextId(), Date.now() - LONG_AGO_MS))).toBe("TooLate");
    });

    it("leaves a transaction that it fenced no way to commit", async () => {
      const runtime = runtimeOf();
      const id = PgBatches.nextId();
      const late = Effect.gen(function* () {
        const client = yield* PgClient.PgClient;
        expect(yield* ask(id, Date.now())).toBe("Absent");
        return yield* Effect.flip(commit(client.within("Test.late", `insert into ${client.tables}batches (id) values ('${id}')`)));
      });
      expect(await runtime.runPromise(late)).toMatchObject({ message: expect.stringContaining("batches_pkey") });
    });
  });

  describe("an operator's decision about parked messages", () => {
    /** Two messages of different shards, refused by the broker, and one that waits behind each. */
    const park = Effect.gen(function* () {
      const outbox = yield* Outbox;
      const lanes = ["a", "b"].map((key) => [0, 1].map((n) => message(key, n)));
      yield* commit(outbox.append(lanes.flat()));
      for (const shard of yield* outbox.pendingShards) {
        yield* outbox.drain(shard, 10, (batch) => Effect.succeed(batch.map(({ payload }) => (payload === "0" ? "Refused" : "Held"))));
      }
      return lanes.flatMap(([first]) => (first === undefined ? [] : [first.id]));
    });
    const parked = Effect.flatMap(Outbox, (outbox) => Effect.map(outbox.parked(10), (all) => all.map((each) => each.message.id)));
    const decided = Effect.flatMap(Outbox, (outbox) => outbox.decisions(10));
    const pending = Effect.flatMap(Outbox, (outbox) => Effect.map(outbox.backlog, (backlog) => backlog.pending));
    const decide = (ids: ReadonlyArray<string>, action: ParkedAction) =>
      Effect.flatMap(Outbox, (outbox) =>
        Effect.map(outbox.settleParked(ids, { action, by: "ada", reason: "" }), (all) => all.map(({ id }) => id)),
      );

    for (const decision of ["Retry", "Discard"] as const) {
      /** What was parked and what waited, or only what waited. */
      const released = decision === "Retry" ? 4 : 2;

      it(`is told as done when it was committed: ${decision}`, async () => {
        const runtime = runtimeOf({ schema: `settle_committed_${decision.toLowerCase()}` });
        const ids = await runtime.runPromise(park);
        proxy.plan(LOST);
        expect((await runtime.runPromise(decide(ids, decision))).toSorted()).toEqual(ids.toSorted());
        expect(proxy.lost()).toBe(1);
        expect(await runtime.runPromise(parked)).toEqual([]);
        expect(await runtime.runPromise(decided)).toHaveLength(ids.length);
        expect(await runtime.runPromise(pending)).toBe(released);
      });

      it(`is told as not done, about none of them, when it never reached the server: ${decision}`, async () => {
        const runtime = runtimeOf({ schema: `settle_absent_${decision.toLowerCase()}` });
        const ids = await runtime.runPromise(park);
        proxy.plan(UNSENT);
        const failure = await runtime.runPromise(Effect.flip(decide(ids, decision)));
        expect(failure).toMatchObject({ reason: "Unavailable", message: expect.stringContaining("the commit did not happen") });
        expect(proxy.lost()).toBe(1);
        expect((await runtime.runPromise(parked)).toSorted()).toEqual(ids.toSorted());
        expect(await runtime.runPromise(decided)).toEqual([]);
        expect((await runtime.runPromise(decide(ids, decision))).toSorted()).toEqual(ids.toSorted());
        expect(await runtime.runPromise(parked)).toEqual([]);
      });
    }
  });

  it("rows are one a transaction, each inserted with BEGIN, and are forgotten after an hour", async () => {
    const runtime = runtimeOf();
    await runtime.context();
    const rows = () => count(`from ${SCHEMA}.batches`);
    const before = await rows();
    await runtime.runPromise(Effect.forEach([1, 2, 3], (n) => commit(save(`row-${n}`))));
    await runtime.runPromise(Effect.flip(commit(Effect.andThen(save("row-4"), Effect.fail("no")))));
    expect((await rows()) - before).toBe(3);
    const many = PgSweep.SWEEP_MAX + 1;
    await admin.query(
      `insert into ${SCHEMA}.batches select gen_random_uuid(), now() - interval '61 minutes' from generate_series(1, ${many})`,
    );
    const swept = Effect.flatMap(PgClient.PgClient, PgBatches.sweep);
    expect(await runtime.runPromise(swept)).toBe(many);
    expect((await rows()) - before).toBe(3);
  });
});
