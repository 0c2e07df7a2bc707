/** What goes wrong between this package and a real server is told as what it is, and leaves nothing half-done. */
import { DocumentStore, Inbox, type StoreError, UnitOfWork } from "@org/saga-core";
import { freePort } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, Fiber, ManagedRuntime } from "effect";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import type { PgOptions } from "../src/PgConfig.ts";
import * as PgStores from "../src/PgStores.ts";
import * as PgSweep from "../src/PgSweep.ts";
import * as Database from "./Database.ts";
import { document } from "./Samples.ts";

const server = realServer("postgres");
const SCHEMA = "faults";

type Runtime = ManagedRuntime.ManagedRuntime<PgStores.PgStores | PgClient.PgClient, unknown>;

describe.runIf(server !== null)("a real server", () => {
  let database: Database.Database;
  const runtimes: Array<Runtime> = [];

  const runtimeOf = (options: Partial<PgOptions> = {}): Runtime => {
    const runtime = ManagedRuntime.make(PgStores.layer({ url: database.url, schema: SCHEMA, ...options }));
    runtimes.push(runtime);
    return runtime;
  };

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    await runtimeOf().context();
  });
  afterEach(async () => {
    await Promise.all(runtimes.splice(0).map((runtime) => runtime.dispose()));
  });
  afterAll(() => database.drop());

  const save = (id: string) => Effect.flatMap(DocumentStore, (store) => store.save([document(id, 1, {})]));
  const commit = <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.flatMap(UnitOfWork, (unit) => unit.commit(body));
  const isStored = (id: string) => Effect.flatMap(DocumentStore, (store) => Effect.map(store.find("note", [id]), (found) => found.has(id)));
  const sql = (text: string) => Effect.flatMap(PgClient.PgClient, (client) => client.within("Test.sql", text));
  const failure = <A, E>(runtime: Runtime, effect: Effect.Effect<A, E, PgStores.PgStores | PgClient.PgClient>): Promise<E> =>
    runtime.runPromise(Effect.flip(effect));

  describe("connections", () => {
    it("a connection killed in the middle of a transaction is Unavailable, nothing is stored, and the next one works", async () => {
      const runtime = runtimeOf();
      const killed = Effect.andThen(save("killed"), Effect.andThen(sql("select pg_terminate_backend(pg_backend_pid())"), save("killed-2")));
      expect(await failure(runtime, commit(killed))).toMatchObject({
        reason: "Unavailable",
        message: expect.stringMatching(/57P01|connection/),
      });
      expect(await runtime.runPromise(isStored("killed"))).toBe(false);
      await runtime.runPromise(commit(save("after-killed")));
      expect(await runtime.runPromise(isStored("after-killed"))).toBe(true);
    });

    it("connections killed while they are idle are noticed, and replaced", async () => {
      const runtime = runtimeOf({ applicationName: "idle_victim" });
      await runtime.runPromise(Effect.forEach(["a", "b", "c"], () => commit(Effect.sleep("20 millis")), { concurrency: "unbounded" }));
      await Database.administer(
        database.url,
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'idle_victim'",
      );
      await runtime.runPromise(Effect.sleep("100 millis"));
      await runtime.runPromise(commit(save("after-idle")));
    });

    it("one whose statements a migration has made useless is replaced: told once, as Contention, also inside of a transaction", async () => {
      const runtime = runtimeOf({ poolSize: 1 });
      const load = commit(Effect.flatMap(DocumentStore, (store) => store.load("note", ["stale"])));
      await runtime.runPromise(commit(save("stale")));
      for (const [use, type] of [
        [Effect.asVoid(load), "jsonb"],
        [Effect.asVoid(isStored("stale")), "json"],
      ] as const) {
        await runtime.runPromise(use);
        await Database.administer(database.url, `alter table "${SCHEMA}".documents alter column state type ${type}`);
        expect(await failure(runtime, use)).toMatchObject({ reason: "Contention", message: expect.stringContaining("0A000") });
        await runtime.runPromise(use);
      }
    });

    it("a server that is not there is Unavailable, at once", async () => {
      const url = new URL(database.url);
      url.port = String(await freePort());
      const runtime = ManagedRuntime.make(PgClient.layer({ url: url.href, schema: SCHEMA }));
      const query = Effect.flatMap(PgClient.PgClient, (client) => client.query("Test.query", "select 1"));
      expect(await runtime.runPromise(Effect.flip(query))).toMatchObject({ reason: "Unavailable", message: "connection: ECONNREFUSED" });
      await runtime.dispose();
    });

    it("a pool without a free connection is Unavailable after its time", async () => {
      const runtime = runtimeOf({ poolSize: 1, connectTimeout: "200 millis" });
      const starving = Effect.gen(function* () {
        const holder = yield* Effect.forkChild(commit(Effect.sleep("1 second")));
        yield* Effect.sleep("100 millis");
        const error = yield* Effect.flip(commit(Effect.void));
        yield* Fiber.join(holder);
        return error;
      });
      expect(await runtime.runPromise(starving)).toMatchObject({
        reason: "Unavailable",
        message: expect.stringContaining("connection: no connection became free in time"),
      });
    });

    it("an interrupted wait for a connection gives it back", async () => {
      const runtime = runtimeOf({ poolSize: 1 });
      const impatient = Effect.gen(function* () {
        const holder = yield* Effect.forkChild(commit(Effect.sleep("300 millis")));
        yield* Effect.sleep("100 millis");
        const waiter = yield* Effect.forkChild(commit(save("never")));
        yield* Effect.sleep("50 millis");
        yield* Fiber.interrupt(waiter);
        yield* Fiber.join(holder);
        yield* commit(save("after-impatient"));
        return yield* isStored("never");
      });
      expect(await runtime.runPromise(impatient)).toBe(false);
    });

    it("a wrong database and a role that does not exist are Misuse: no waiting helps", async () => {
      for (const [change, code] of [
        [(url: URL) => (url.pathname = "/no_such_database"), /SQLSTATE 3D000/],
        [(url: URL) => (url.username = "no_such_role"), /SQLSTATE 28/],
      ] as const) {
        const url = new URL(database.url);
        change(url);
        const runtime = ManagedRuntime.make(PgStores.layer({ url: url.href, schema: SCHEMA }));
        await expect(runtime.context()).rejects.toThrow();
        const client = ManagedRuntime.make(PgClient.layer({ url: url.href, schema: SCHEMA }));
        const query = Effect.flatMap(PgClient.PgClient, (one) => one.query("Test.query", "select 1"));
        expect(await client.runPromise(Effect.flip(query))).toMatchObject({ reason: "Misuse", message: expect.stringMatching(code) });
        await Promise.all([runtime.dispose(), client.dispose()]);
      }
    });

    it("has the settings that the statements rely on", async () => {
      const url = new URL(database.url);
      // As a role or a database may have it.
      url.searchParams.set("options", "-c array_nulls=off -c default_transaction_isolation=serializable");
      const options = { applicationName: "settings", lockTimeout: "1234 millis", idleInTransactionTimeout: "9 seconds" } as const;
      const runtime = runtimeOf({ url: url.href, ...options });
      const show = (name: string) =>
        Effect.map(
          Effect.flatMap(PgClient.PgClient, (client) =>
            client.query<{ readonly value: string }>("Test.show", "select current_setting($1) as value", [name]),
          ),
          ({ rows }) => rows[0]?.value,
        );
      const names = [
        "enable_seqscan",
        "application_name",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "default_transaction_isolation",
        "array_nulls",
      ];
      expect(await runtime.runPromise(Effect.forEach(names, show))).toEqual(["off", "settings", "1234ms", "9s", "read committed", "on"]);
    });
  });

  describe("waiting", () => {
    const hold = (id: string) => Effect.flatMap(DocumentStore, (store) => store.load("note", [id]));

    it("a lock that does not come in time is Contention", async () => {
      const runtime = runtimeOf({ lockTimeout: "100 millis" });
      const contending = Effect.gen(function* () {
        yield* commit(save("locked"));
        const holder = yield* Effect.forkChild(commit(Effect.andThen(hold("locked"), Effect.sleep("600 millis"))));
        yield* Effect.sleep("100 millis");
        const error = yield* Effect.flip(commit(hold("locked")));
        yield* Fiber.join(holder);
        return error;
      });
      expect(await runtime.runPromise(contending)).toMatchObject({
        reason: "Contention",
        message: expect.stringContaining("55P03 lock_not_available"),
      });
    });

    it("a statement that takes too long is Contention", async () => {
      const runtime = runtimeOf({ statementTimeout: "100 millis" });
      expect(await failure(runtime, commit(sql("select pg_sleep(5)")))).toMatchObject({ reason: "Contention" });
    });

    it("a deadlock is Contention for one, and the other one goes through", async () => {
      const runtime = runtimeOf();
      const deadlock = Effect.gen(function* () {
        yield* commit(Effect.andThen(save("left"), save("right")));
        const cross = (first: string, second: string) =>
          commit(Effect.andThen(hold(first), Effect.andThen(Effect.sleep("150 millis"), hold(second))));
        return yield* Effect.forEach([cross("left", "right"), cross("right", "left")], Effect.exit, { concurrency: "unbounded" });
      });
      const exits = await runtime.runPromise(deadlock);
      expect(exits.filter((exit) => exit._tag === "Success")).toHaveLength(1);
      expect(JSON.stringify(exits)).toContain("40P01");
    });

    it("a transaction that says nothing for too long is ended by the server: Unavailable or Unknown, never committed", async () => {
      const runtime = runtimeOf({ idleInTransactionTimeout: "200 millis" });
      const frozen = commit(Effect.andThen(save("frozen"), Effect.sleep("600 millis")));
      const error: StoreError = await failure(runtime, frozen);
      expect(error.reason).toBe("Unavailable");
      expect(await runtime.runPromise(isStored("frozen"))).toBe(false);
    });
  });

  it("a sweep takes more than one statement may, and a row that somebody holds holds up no other", async () => {
    const runtime = runtimeOf({ lockTimeout: "100 millis" });
    const rows = 2 * PgSweep.SWEEP_MAX + 10;
    const swept = Effect.gen(function* () {
      const inbox = yield* Inbox;
      yield* commit(sql(`insert into ${SCHEMA}.inbox select 'sweep', i::text, to_timestamp(1) from generate_series(1, ${rows}) as g(i)`));
      const locking = sql(`select from ${SCHEMA}.inbox where consumer = 'sweep' and message_id = '7' for update`);
      const holder = yield* Effect.forkChild(commit(Effect.andThen(locking, Effect.sleep("2 seconds"))));
      yield* Effect.sleep("100 millis");
      const first = yield* inbox.sweep(10_000);
      yield* Fiber.join(holder);
      return [first, yield* inbox.sweep(10_000)];
    });
    expect(await runtime.runPromise(swept)).toEqual([rows - 1, 1]);
  });
});
