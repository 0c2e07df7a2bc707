/**
 * A service under load meets what happens to databases. A server of this file's own, and a role that is no superuser.
 *
 * Each test injects its fault after so many answers, sees the load go on by itself afterwards, and audits the books.
 */
import { StoreError, UnitOfWork } from "@org/saga-core";
import { type PostgresServer, startPostgres } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, Latch, ManagedRuntime } from "effect";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import type { PgOptions } from "../src/PgConfig.ts";
import * as PgError from "../src/PgError.ts";
import * as Audit from "./Audit.ts";
import * as Database from "./Database.ts";
import * as Load from "./Load.ts";

/** One test, on a machine that does many other things: seconds on a quiet one. */
const TEST_TIMEOUT_MS = 180_000;

/** Deadlocks of one change in a row: each costs the server's `deadlock_timeout`, a second. */
const DEADLOCKS_MAX = 20;

/** Answers to tallies before the fault, and after it. */
const ANSWERS = 200;

/** Callers that hear of an outage before it ends. */
const TOLD = 8;

/** Of the server: a crowd takes the rest in no time. */
const CONNECTIONS_MAX = 30;

/** Connections ended at random, one each `TERMINATE_EVERY_MS`. */
const TERMINATIONS = 40;
const TERMINATE_EVERY_MS = 50;

describe.runIf(realServer("postgres") !== null)("under load", { timeout: TEST_TIMEOUT_MS }, () => {
  let server: PostgresServer;
  let url = "";

  beforeAll(async () => {
    server = await startPostgres({ settings: { max_connections: String(CONNECTIONS_MAX) } });
    await Database.administer(server.url, "create role shop login");
    await Database.administer(server.url, "create database shop owner shop");
    const own = new URL(server.url);
    own.username = "shop";
    own.pathname = "/shop";
    url = own.href;
  });
  afterAll(() => server.stop());

  const restart = Effect.promise(() => server.restart());
  const kill = Effect.promise(() => server.kill());
  /** Changes of a table under load may meet its users crosswise: then one of them is rolled back, and here it is done again. */
  const admin = (text: string) =>
    Effect.tryPromise({
      try: () => Database.administer(server.url.replace(/postgres$/, "shop"), text),
      catch: (cause) => cause,
    }).pipe(Effect.retry({ while: (cause) => PgError.sqlstateOf(cause) === "40P01", times: DEADLOCKS_MAX }), Effect.orDie);
  const connect = (address: string) => Effect.promise(() => connectTo(address));
  const number = (text: string) =>
    Effect.acquireUseRelease(
      connect(server.url),
      (client) =>
        Effect.map(
          Effect.promise(() => client.query<{ readonly value: number }>(text)),
          ({ rows }) => rows[0]?.value ?? 0,
        ),
      (client) => Effect.promise(() => client.end()),
    );

  /** Load, the fault after some answers, some more answers, and the audit. */
  const survive = async (
    schema: string,
    options: Partial<PgOptions>,
    fault: (load: Load.Load) => Effect.Effect<void, StoreError, Load.Ports>,
  ) => {
    const runtime = ManagedRuntime.make(Load.ports({ url, schema, ...options }));
    try {
      const load = new Load.Load();
      const during = Load.answered(load, ANSWERS).pipe(Effect.andThen(fault(load)), Effect.andThen(Load.answered(load, ANSWERS)));
      const found = await runtime.runPromise(Effect.andThen(Load.run(load, during), Audit.violations(load)));
      expect(found).toEqual([]);
      expect(load.tallies.accepted.size).toBeGreaterThan(2 * ANSWERS - 1);
      for (const { message } of load.failures) expect(message).not.toMatch(/tally-|order-|hold-|postgres:/);
      return load;
    } finally {
      await runtime.dispose();
    }
  };

  it("without a fault the books are right, nobody is told of a failure, and the audit sees what is missing and what is too much", async () => {
    const load = await survive("calm", {}, () => Effect.void);
    expect(load.failures).toEqual([]);
    const runtime = ManagedRuntime.make(Load.ports({ url, schema: "calm" }));
    const audit = (change: string) => runtime.runPromise(Effect.andThen(admin(change), Audit.violations(load)));
    const isTally = "type = 'tally.counted.v1'";
    expect(await audit(`delete from calm.outbox where seq = (select max(seq) from calm.outbox where ${isTally})`)).not.toEqual([]);
    const [order = ""] = load.orders.accepted;
    expect(await audit(`delete from calm.orders where id = '${order}'`)).toContain(`order ${order} was accepted and is lost`);
    expect(await audit("update calm.stock_skus set held = held - 2 where sku = 'red'")).toContainEqual(
      expect.stringContaining("were promised"),
    );
    await runtime.dispose();
  });

  it("a server that is restarted in order: nothing is lost, the load goes on", async () => {
    await survive("restarted", {}, () => restart);
  });

  it("a server that is killed, twice: nothing is lost, the load goes on", async () => {
    await survive("killed", {}, (load) =>
      kill.pipe(Effect.andThen(restart), Effect.andThen(Load.answered(load, ANSWERS)), Effect.andThen(kill), Effect.andThen(restart)),
    );
  });

  it("a server that stays away for so long that callers are told: what they were told is true", async () => {
    const reasonsOf = (failures: Load.Load["failures"]) =>
      new Set(failures.map((failure) => (failure instanceof StoreError ? failure.reason : failure._tag)));
    const load = await survive("away", { settleTimeout: "2 seconds" }, ({ failures }) =>
      // Some were committing when it went away, and hear that nobody knows; the others hear that it is away.
      kill.pipe(
        Effect.andThen(Load.until(() => failures.length >= TOLD && reasonsOf(failures).has("Unavailable"))),
        Effect.andThen(restart),
      ),
    );
    expect(reasonsOf(load.failures)).toContain("Unavailable");
  });

  it("connections that are terminated at random", async () => {
    const terminate =
      "select count(pg_terminate_backend(pid))::int as value from (select pid from pg_stat_activity where usename = 'shop' order by random() limit 1) as one";
    await survive("terminated", {}, () =>
      Effect.gen(function* () {
        for (let ended = 0; ended < TERMINATIONS; yield* Effect.sleep(TERMINATE_EVERY_MS)) ended += yield* number(terminate);
      }),
    );
  });

  it("a pool that others hold: callers are told what to raise, and the load goes on when it is free", async () => {
    const load = await survive("exhausted", { poolSize: 2, connectTimeout: "300 millis" }, (current) =>
      Effect.gen(function* () {
        const unitOfWork = yield* UnitOfWork;
        const free = yield* Latch.make(false);
        const holding = Effect.ignore(Effect.eventually(unitOfWork.commit(free.await)));
        const told = Effect.ensuring(Load.failing(current, /no connection became free in time: .*poolSize/), free.open);
        yield* Effect.all([holding, holding, told], { concurrency: "unbounded", discard: true });
      }),
    );
    expect(load.failures.length).toBeGreaterThan(0);
  });

  it("a server without a free connection (53300)", async () => {
    await survive("crowded", { applicationName: "crowded" }, (load) =>
      Effect.gen(function* () {
        const crowd: Array<pg.Client> = [];
        const fill: Effect.Effect<void> = Effect.matchEffect(
          Effect.tryPromise(() => connectTo(url)),
          {
            onSuccess: (client) => Effect.suspend(() => (crowd.push(client), fill)),
            onFailure: () => Effect.void,
          },
        );
        const takeOver = admin("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'crowded'").pipe(
          Effect.andThen(fill),
          Effect.andThen(Effect.sleep(TERMINATE_EVERY_MS)),
          Effect.forever,
        );
        yield* Effect.raceFirst(Load.failing(load, /53300 too_many_connections: .*max_connections/), takeOver);
        yield* Effect.promise(() => Promise.all(crowd.map((client) => client.end())));
      }),
    );
  });

  it.each([
    ["locks", { lockTimeout: "200 millis" }, /55P03 lock_not_available/],
    ["statements", { statementTimeout: "500 millis", lockTimeout: "10 seconds" }, /57014 query_canceled: statement timeout/],
  ] as const)("%s that take too long because somebody holds the tables", async (schema, options, message) => {
    await survive(schema, options, (load) =>
      Effect.acquireUseRelease(
        connect(server.url.replace(/postgres$/, "shop")),
        (client) =>
          Effect.promise(() => client.query(`begin; lock table ${schema}.documents, ${schema}.orders, ${schema}.stock_skus`)).pipe(
            Effect.andThen(Load.failing(load, message)),
          ),
        (client) => Effect.promise(() => client.end()),
      ).pipe(Effect.asVoid),
    );
  });

  it("a full disk refuses inserts into the outbox for a while (53100): it is nobody's fault", async () => {
    await survive("full", {}, (load) =>
      admin(`create function "full".refuse() returns trigger language plpgsql as $$
        begin raise exception 'No space left on device: %', new.payload using errcode = '53100'; end $$;
        create trigger refuse before insert on "full".outbox for each row execute function "full".refuse()`).pipe(
        Effect.andThen(Load.failing(load, /53100 disk_full: free space/)),
        Effect.andThen(admin(`drop trigger refuse on "full".outbox`)),
      ),
    );
  });

  it("a server that takes no writes for a while (25006)", async () => {
    const isReadOnly = (value: "on" | "off") =>
      Effect.andThen(admin(`alter system set default_transaction_read_only = ${value}`), admin("select pg_reload_conf()"));
    await survive("readonly", {}, (load) =>
      Effect.gen(function* () {
        yield* isReadOnly("on");
        yield* Load.failing(load, /25006 read_only_sql_transaction: .*primary/);
        yield* isReadOnly("off");
      }),
    );
  });

  it("a connection to a server that takes no writes any more is replaced: the next one may lead to the primary", async () => {
    const runtime = ManagedRuntime.make(Load.ports({ url, schema: "failover", poolSize: 1 }));
    const load = new Load.Load();
    const readOnly = Effect.flatMap(PgClient.PgClient, (client) => client.query("Test.query", "set default_transaction_read_only = on"));
    const probes = Effect.gen(function* () {
      yield* readOnly;
      const first = yield* Load.probe(load);
      yield* Effect.andThen(Load.probe(load), readOnly);
      const { query } = yield* PgClient.PgClient;
      const second = yield* Effect.flip(query("Test.query", "create table failover.x ()"));
      return [first?.reason, yield* Load.probe(load), second.reason, yield* Load.probe(load)];
    });
    expect(await runtime.runPromise(probes)).toEqual(["Unavailable", null, "Unavailable", null]);
    await runtime.dispose();
  });

  it("transactions that the server ends because they said nothing: what the relay published comes again, in order", async () => {
    const ended = "select sessions_fatal::int as value from pg_stat_database where datname = 'shop'";
    await survive("idle", { idleInTransactionTimeout: "300 millis" }, (load) =>
      Effect.gen(function* () {
        const before = yield* number(ended);
        const unitOfWork = yield* UnitOfWork;
        const free = yield* Latch.make(false);
        load.beforePublish = free.await;
        const seen = Effect.ensuring(Effect.repeat(number(ended), { until: (value) => value > before + 1 }), free.open);
        yield* Effect.all([Effect.ignore(unitOfWork.commit(free.await)), Effect.ignore(unitOfWork.commit(free.await)), seen], {
          concurrency: "unbounded",
          discard: true,
        });
        load.beforePublish = Effect.void;
      }),
    );
  });
});

const connectTo = async (address: string): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: address });
  client.on("error", () => undefined);
  await client.connect();
  return client;
};
