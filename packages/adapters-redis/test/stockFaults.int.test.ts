/** What happens to the stock's log when its server does what it should not. Servers of the test's own. */
import { StockLedger, StockLog, StockReservation, type StoreError } from "@org/saga-core";
import { type RedisOptions, type RedisServer, startRedis, startTcpProxy } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, Fiber, Layer, Result, type Scope } from "effect";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RedisClient, RedisConfig, RedisStock, RedisStockLog } from "../src/index.ts";
import { apple, booksOf, heldOrders, receive, reserve, words } from "./StockLogWorld.ts";

const client = (port: number, prefix: string) =>
  Layer.provide(RedisClient.layer, RedisConfig.layer({ url: `redis://127.0.0.1:${port}`, prefix, commandTimeoutMillis: 500 }));

/** A process of its own, until the test's scope ends. */
const logAt = (port: number, prefix: string, options: RedisStockLog.Options = {}) =>
  Effect.flatMap(Layer.build(Layer.fresh(Layer.provide(RedisStockLog.layerWith(options), client(port, prefix)))), (context) =>
    Effect.provide(StockLog, context),
  );
const stockAt = (port: number, prefix: string) =>
  Effect.flatMap(Layer.build(Layer.fresh(Layer.provide(RedisStock.layer, client(port, prefix)))), (context) =>
    Effect.provide(StockReservation, context),
  );

const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) => Effect.runPromise(Effect.scoped(effect));
const saying = async <A>(url: string, use: (admin: Redis) => Promise<A>): Promise<A> => {
  const admin = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  await admin.connect();
  return use(admin).finally(() => admin.disconnect());
};
const promised = <A>(what: () => Promise<A>) => Effect.promise(what);

/** Again until it is known: a server that comes back answers in the end. */
const untilKnown = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> => Effect.retry(effect, { times: 50 });

/** Past what only says that a connection was lost. */
const untilTold = <A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
  Effect.retry(effect, { times: 50, while: ({ reason }) => reason === "Unknown" || reason === "Unavailable" });

describe.runIf(realServer("redis") !== null)("the stock's log,", () => {
  let server: RedisServer;
  let admin: Redis;
  beforeAll(async () => {
    server = await startRedis();
    admin = new Redis(server.url);
  });
  afterAll(async () => {
    admin.disconnect();
    await server.stop();
  });

  /** A server for one test, and a way to talk to it. */
  const mortal = (options: RedisOptions = {}) =>
    Effect.gen(function* () {
      const redis = yield* Effect.acquireRelease(
        promised(() => startRedis(options)),
        (it) => promised(it.stop),
      );
      return { redis, port: redis.port, say: <A>(use: (admin: Redis) => Promise<A>) => promised(() => saying(redis.url, use)) };
    });

  test("killed and restarted empty: the generation has ended, nothing of it is granted any more", () =>
    run(
      Effect.gen(function* () {
        const own = yield* mortal();
        const [log, other] = [yield* logAt(own.port, "p"), yield* logAt(own.port, "p")];
        const before = yield* log.server;
        yield* log.open(0, 1, StockLedger.empty);
        yield* log.execute(0, 1, [receive(5), reserve("a")]);
        yield* other.read(0, 1);
        yield* promised(() => own.redis.kill().then(own.redis.restart));
        expect(words(yield* untilKnown(log.execute(0, 1, [reserve("b")])))).toEqual(["Ended"]);
        expect(yield* untilKnown(other.read(0, 1))).toBeNull();
        expect(yield* log.server).not.toEqual(before);
        yield* log.open(0, 2, StockLedger.empty);
        expect(words(yield* other.execute(0, 1, [reserve("c")]))).toEqual(["Ended"]);
        expect(words(yield* other.execute(0, 2, [reserve("c")]))).toEqual(["UnknownSku"]);
      }),
    ));

  test("on Redis alone, who knew a server that has lost everything does not believe it; who starts anew begins anew", () =>
    run(
      Effect.gen(function* () {
        const own = yield* mortal();
        const knowing = yield* stockAt(own.port, "p");
        yield* knowing.execute([receive(5), reserve("a")]);
        yield* promised(() => own.redis.kill().then(own.redis.restart));
        expect((yield* Effect.flip(knowing.balances([apple]))).reason).toBe("Unavailable");
        const fresh = yield* stockAt(own.port, "p");
        expect(words({ _tag: "Decided", answers: yield* fresh.execute([reserve("b")]), writes: NOTHING })).toEqual(["UnknownSku"]);
        yield* fresh.execute([receive(4, "counted again")]);
        expect((yield* knowing.balances([apple])).get(apple)).toMatchObject({ onHand: 4, held: 0 });
      }),
    ));

  test("restarted from an older snapshot of the server: the hybrid's generation has ended, Redis alone goes on with what is left", () =>
    run(
      Effect.gen(function* () {
        const own = yield* mortal();
        const [log, stock] = [yield* logAt(own.port, "log"), yield* stockAt(own.port, "alone")];
        yield* log.open(0, 1, StockLedger.empty);
        yield* log.execute(0, 1, [receive(5), reserve("a")]);
        yield* stock.execute([receive(5), reserve("a")]);
        yield* own.say((admin) => admin.save());
        yield* log.execute(0, 1, [reserve("b")]);
        yield* stock.execute([reserve("b")]);
        yield* promised(() => own.redis.kill().then(own.redis.restart));
        expect(words(yield* untilKnown(log.execute(0, 1, [reserve("c", 4)])))).toEqual(["Ended"]);
        const answers = yield* untilKnown(stock.execute([reserve("c", 4), { _tag: "Commit", orderId: reserve("b").orderId }]));
        expect(words({ _tag: "Decided", answers, writes: NOTHING })).toEqual(["Reserved", "HoldNotFound"]);
        expect((yield* stock.balances([apple])).get(apple)).toMatchObject({ onHand: 5, held: 5 });
      }),
    ));

  test("flushed under a living connection: its writers are refused, also once somebody has begun anew", () =>
    run(
      Effect.gen(function* () {
        const own = yield* mortal();
        const [log, stock, other] = [yield* logAt(own.port, "log"), yield* stockAt(own.port, "p"), yield* stockAt(own.port, "p")];
        yield* log.open(0, 1, StockLedger.empty);
        yield* log.execute(0, 1, [receive(5), reserve("a")]);
        yield* stock.execute([receive(5), reserve("a", 3)]);
        yield* own.say((admin) => admin.flushall());
        expect(words(yield* log.execute(0, 1, [reserve("b")]))).toEqual(["Ended"]);
        yield* other.execute([receive(1, "counted")]);
        const answers = yield* stock.execute([reserve("b", 2), reserve("c")]);
        expect(words({ _tag: "Decided", answers, writes: NOTHING })).toEqual(["OutOfStock", "Reserved"]);
      }),
    ));

  test("a tail that was lost under a living connection: what is appended over the gap is void, and ends the generation for its readers", () =>
    run(
      Effect.gen(function* () {
        const [stale, reader, late] = [
          yield* logAt(server.port, "gap"),
          yield* logAt(server.port, "gap"),
          yield* logAt(server.port, "gap", { broken: "pass" }),
        ];
        yield* stale.open(0, 1, StockLedger.empty);
        yield* stale.execute(0, 1, [receive(5)]);
        const key = "{stk:gap:0}:log";
        const older = yield* promised(() => admin.dumpBuffer(key));
        yield* stale.execute(0, 1, [reserve("a")]);
        yield* stale.execute(0, 1, [reserve("b")]);
        // Another history: one entry where there were two.
        yield* promised(() => admin.restore(key, 0, older, "REPLACE"));
        expect(words(yield* reader.execute(0, 1, [reserve("other")]))).toEqual(["Reserved"]);
        yield* stale.execute(0, 1, [reserve("gap")]);
        expect(words(yield* reader.execute(0, 1, [reserve("c")]))).toEqual(["Ended"]);
        // Whoever has nothing but the log reads past it.
        expect(heldOrders(yield* late.read(0, 1))).toEqual(["other"]);
        expect(words(yield* late.execute(0, 1, [reserve("d")]))).toEqual(["Reserved"]);
      }),
    ));

  test("paused for ten seconds in a rush: its callers hear that it is unknown, and no unit is granted twice", { timeout: 60_000 }, () =>
    run(
      Effect.gen(function* () {
        const own = yield* mortal();
        const [first, second] = [yield* stockAt(own.port, "p"), yield* stockAt(own.port, "p")];
        yield* first.execute([receive(30)]);
        yield* second.balances([apple]);
        const orders = Array.from({ length: 40 }, (_, index) => `o${index}`);
        const ask = (name: string, index: number) => (index % 2 === 0 ? first : second).execute([reserve(name)]);
        yield* promised(() => own.redis.kill("SIGSTOP"));
        const asked = yield* Effect.forkChild(
          Effect.forEach(orders, (name, index) => Effect.result(ask(name, index)), { concurrency: "unbounded" }),
        );
        yield* Effect.sleep("10 seconds");
        yield* promised(() => own.redis.kill("SIGCONT"));
        const heard = yield* Fiber.join(asked);
        for (const each of heard) if (Result.isFailure(each)) expect(["Unknown", "Unavailable"]).toContain(each.failure.reason);
        const later = yield* Effect.forEach(orders, (name, index) => untilKnown(ask(name, index)));
        const granted = later.map((answers) => words({ _tag: "Decided", answers, writes: NOTHING })[0]);
        expect(granted.filter((word) => word === "Reserved").length).toBe(30);
        // What was answered before is still so.
        heard.forEach((each, index) => {
          if (Result.isSuccess(each) && each.success.some(Result.isSuccess)) expect(granted[index]).toBe("Reserved");
        });
        expect((yield* second.balances([apple])).get(apple)).toMatchObject({ onHand: 30, held: 30 });
      }),
    ),
  );

  test("a failover to a replica that misses the last writes: the hybrid's generation has ended, Redis alone sells what is left once", () =>
    run(
      Effect.gen(function* () {
        const primary = yield* mortal({ settings: { "repl-diskless-sync-delay": "0" } });
        const replica = yield* mortal({ settings: { replicaof: `127.0.0.1 ${primary.port}` } });
        const [log, stock, other] = [
          yield* logAt(primary.port, "log"),
          yield* stockAt(primary.port, "p"),
          yield* stockAt(primary.port, "p"),
        ];
        const before = yield* log.server;
        yield* log.open(0, 1, StockLedger.empty);
        yield* log.execute(0, 1, [receive(5), reserve("a")]);
        yield* stock.execute([receive(5), reserve("a")]);
        yield* other.balances([apple]);
        yield* primary.say((admin) => untilCaughtUp(admin));
        yield* replica.say((admin) => admin.replicaof("NO", "ONE"));
        yield* log.execute(0, 1, [reserve("lost")]);
        yield* stock.execute([reserve("lost", 2)]);
        yield* promised(() => primary.redis.kill());
        yield* Effect.acquireRelease(
          promised(() => startTcpProxy({ target: { port: replica.port }, port: primary.port })),
          (proxy) => promised(proxy.stop),
        );
        expect(words(yield* untilKnown(log.execute(0, 1, [reserve("b")])))).toEqual(["Ended"]);
        expect(yield* untilKnown(log.server)).not.toEqual(before);
        const sold = yield* Effect.forEach(
          Array.from({ length: 10 }, (_, index) => index),
          (index) => untilKnown((index % 2 === 0 ? stock : other).execute([reserve(`after${index}`)])),
          { concurrency: "unbounded" },
        );
        expect(sold.flat().filter(Result.isSuccess).length).toBe(4);
        expect((yield* other.balances([apple])).get(apple)).toMatchObject({ onHand: 5, held: 5 });
      }),
    ));

  test("a password that changes under living processes: all who wait are told of it, and it goes on when they are known again", () =>
    run(
      Effect.gen(function* () {
        const own = yield* mortal();
        const stock = yield* stockAt(own.port, "p");
        yield* stock.execute([receive(5)]);
        const keeper = yield* Effect.acquireRelease(
          Effect.sync(() => new Redis(own.redis.url)),
          (it) => Effect.sync(() => it.disconnect()),
        );
        yield* promised(() => keeper.config("SET", "requirepass", "another"));
        yield* promised(() => keeper.auth("another"));
        yield* promised(() => keeper.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"));
        const buyers = ["a", "b", "c"].map((name) => Effect.flip(untilTold(stock.execute([reserve(name)]))));
        const errors = yield* Effect.all(buyers, { concurrency: "unbounded" });
        expect(errors.map(({ reason, message }) => [reason, message])).toEqual(
          Array<Array<string>>(3).fill(["Misuse", "the server answered NOAUTH"]),
        );
        yield* promised(() => keeper.config("SET", "requirepass", ""));
        yield* untilKnown(stock.execute([reserve("a", 5)]));
        expect((yield* stock.balances([apple])).get(apple)).toMatchObject({ onHand: 5, held: 5 });
      }),
    ));

  test("memory full: nothing is granted, and it goes on when there is room", () =>
    run(
      Effect.gen(function* () {
        const own = yield* mortal();
        const log = yield* logAt(own.port, "p");
        yield* log.open(0, 1, StockLedger.empty);
        yield* log.execute(0, 1, [receive(5)]);
        yield* own.say((admin) => admin.config("SET", "maxmemory", "1"));
        expect((yield* Effect.flip(log.execute(0, 1, [reserve("a")]))).reason).toBe("Unavailable");
        expect(booksOf(yield* log.read(0, 1))).toEqual({ onHand: 5, held: 0, committed: 0 });
        yield* own.say((admin) => admin.config("SET", "maxmemory", "0"));
        expect(words(yield* log.execute(0, 1, [reserve("a")]))).toEqual(["Reserved"]);
      }),
    ));
});

/** Everything that was written has reached one replica. */
const untilCaughtUp = async (admin: Redis): Promise<void> => {
  for (;;) {
    // WAIT counts what this connection wrote.
    await admin.set("marker", "1");
    if ((await admin.wait(1, 1_000)) === 1) return;
  }
};

const NOTHING: StockLedger.StockWrites = { skus: [], holds: [], adjustments: [], buyers: [] };
