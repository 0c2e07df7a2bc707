/** Servers of the test's own, and what goes wrong between them and us. */
import { Lock, OrderId, Quantity, Sku, StockReservation, type StockCommand, type StoreError } from "@org/saga-core";
import { StockContention } from "@org/saga-core/testing";
import { freePort, startRedis, startTcpProxy, type RedisServer } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, Exit, Fiber, Layer, Result } from "effect";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RedisClient, RedisConfig, RedisError, RedisLock, RedisStock } from "../src/index.ts";

const apple = Sku.make("apple");
const receive = (units: number): StockCommand => ({ _tag: "Adjust", id: "first", sku: apple, delta: units });
const reserve = (id: string, quantity = 1, ttlMillis = 60_000): StockCommand => ({
  _tag: "Reserve",
  orderId: OrderId.make(id),
  lines: [{ sku: apple, quantity: Quantity.make(quantity) }],
  ttlMillis,
});

const client = (options: RedisConfig.Options) => Layer.provide(RedisClient.layer, RedisConfig.layer(options));
const engine = (options: RedisConfig.Options, stock: RedisStock.Options = {}) =>
  Layer.provide(RedisStock.layerWith(stock), client(options));
const execute = (...commands: ReadonlyArray<StockCommand>) => Effect.flatMap(StockReservation, (stock) => stock.execute(commands));
const books = Effect.flatMap(StockReservation, (stock) => Effect.map(stock.balances([apple]), (balances) => balances.get(apple)));

// A server can be started wherever the run's own could.
describe.runIf(realServer("redis") !== null)("with a Redis of its own,", () => {
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

  test("RedisClient refuses to start on a server that evicts", async () => {
    const evicting = await startRedis({ settings: { maxmemory: "100mb", "maxmemory-policy": "allkeys-lru" } });
    const exit = await Effect.runPromiseExit(Effect.scoped(Layer.build(client({ url: evicting.url }))));
    await evicting.stop();
    expect(String(exit)).toContain("noeviction");
  });

  test("RedisClient refuses to start with a wrong password, and does not repeat it", async () => {
    const secured = await startRedis({ settings: { requirepass: "right" } });
    const exit = await Effect.runPromiseExit(
      Effect.scoped(Layer.build(client({ url: secured.url.replace("redis://", "redis://:wrong-one@") }))),
    );
    await secured.stop();
    expect(Exit.isFailure(exit)).toBe(true);
    expect(String(exit)).toContain("WRONGPASS");
    expect(String(exit)).not.toContain("wrong-one");
  });

  test("RedisClient waits for a server that comes later", async () => {
    const port = await freePort();
    const built = Effect.runPromise(Effect.provide(execute(receive(1)), engine({ url: `redis://127.0.0.1:${port}` })));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const late = await startRedis({ port });
    const answers = await built;
    await late.stop();
    expect(answers.map(Result.isSuccess)).toEqual([true]);
  });

  test("a connection that is lost between WATCH and EXEC does not commit", () =>
    Effect.gen(function* () {
      const redis = yield* RedisClient.RedisClient;
      const session = yield* redis.session;
      const attempt = session.use("test", (connection) =>
        Effect.gen(function* () {
          const [, id] = yield* connection.read("test", (it) => Promise.all([it.watch("watched"), it.client("ID")]));
          yield* Effect.promise(() => admin.set("watched", "changed by another"));
          yield* Effect.promise(() => admin.client("KILL", "ID", id));
          return yield* connection.write("test", [["set", "watched", "ours"]]);
        }),
      );
      const failed = yield* Effect.flip(attempt);
      expect(["Unknown", "Unavailable"]).toContain(failed.reason);
      expect(yield* Effect.promise(() => admin.get("watched"))).toBe("changed by another");
      const next = session.use("test", (connection) => connection.write("test", [["set", "watched", "later"]]));
      expect(yield* next).toEqual(["OK"]);
    }).pipe(Effect.scoped, Effect.provide(client({ url: server.url })), Effect.runPromise));

  test("an interrupted use gives its connection up, with what it watched", () =>
    Effect.gen(function* () {
      const redis = yield* RedisClient.RedisClient;
      const session = yield* redis.session;
      const id = session.use("test", (connection) => connection.read("test", (it) => it.client("ID")));
      const first = yield* id;
      const stuck = yield* Effect.forkChild(session.use("test", () => Effect.never));
      yield* Effect.sleep("20 millis");
      yield* Fiber.interrupt(stuck);
      expect(yield* id).not.toBe(first);
    }).pipe(Effect.scoped, Effect.provide(client({ url: server.url })), Effect.runPromise));

  test("RedisStock conserves every unit while its connections are reset again and again", async () => {
    const proxy = await startTcpProxy({ target: { port: server.port } });
    const storm = setInterval(proxy.reset, 40);
    const options = { url: `redis://127.0.0.1:${proxy.port}`, prefix: "storm" };
    const exit = await Effect.gen(function* () {
      const connect = Effect.flatMap(Layer.build(Layer.fresh(engine(options))), (context) => Effect.provide(StockReservation, context));
      const stubborn = Effect.map(connect, (stock) => ({
        ...stock,
        execute: untilKnown(stock.execute),
        balances: untilKnown(stock.balances),
      }));
      yield* StockContention.mess([yield* stubborn, yield* stubborn]);
    }).pipe(Effect.scoped, Effect.runPromiseExit);
    clearInterval(storm);
    await proxy.stop();
    expect(exit).toEqual(Exit.void);
  });

  test("RedisStock rides out a server that falls silent for a while", async () => {
    const proxy = await startTcpProxy({ target: { port: server.port } });
    const options = { url: `redis://127.0.0.1:${proxy.port}`, prefix: "silent", commandTimeoutMillis: 100 };
    await Effect.gen(function* () {
      yield* execute(receive(3));
      proxy.stall();
      const asked = yield* Effect.forkChild(execute(reserve("a")));
      yield* Effect.sleep("300 millis");
      yield* Effect.promise(proxy.resume);
      expect((yield* Fiber.join(asked)).map(Result.isSuccess)).toEqual([true]);
      expect(yield* books).toMatchObject({ onHand: 3, held: 1 });
    }).pipe(Effect.provide(engine(options)), Effect.runPromise);
    await proxy.stop();
  });

  test("RedisStock refuses what somebody else wrote under its keys, without showing it", () =>
    Effect.gen(function* () {
      yield* execute(receive(1));
      const generation = yield* Effect.promise(() => admin.get("{stk:foreign:0}:generation"));
      yield* Effect.promise(() => admin.xadd("{stk:foreign:0}:log", `${generation}-7`, "e", "secret nonsense"));
      const error = yield* Effect.flip(execute(reserve("a")));
      expect(error.reason).toBe("Refused");
      expect(error.message).not.toContain("secret");
    }).pipe(Effect.provide(engine({ url: server.url, prefix: "foreign" })), Effect.runPromise));

  test("RedisStock and RedisLock say Unavailable when the server is gone", async () => {
    const gone = await startRedis();
    const ports = Layer.provideMerge(Layer.mergeAll(RedisStock.layer, RedisLock.layer), client({ url: gone.url, prefix: "gone" }));
    await Effect.gen(function* () {
      const [stock, lock] = [yield* StockReservation, yield* Lock];
      const lease = yield* lock.acquire("name", "me", 10_000);
      expect(lease).not.toBeNull();
      yield* Effect.promise(() => gone.stop());
      expect((yield* Effect.flip(stock.allBalances)).reason).toBe("Unavailable");
      expect((yield* Effect.flip(stock.expired(1))).reason).toBe("Unavailable");
      expect((yield* Effect.flip(lock.acquire("name", "me", 10_000))).reason).toBe("Unavailable");
    }).pipe(Effect.provide(ports), Effect.runPromise);
  });

  test("RedisLock's fence grows also when the server has forgotten everything, and the lease of before is lost", async () => {
    const first = await startRedis();
    const fences: Array<number> = [];
    await Effect.gen(function* () {
      const lock = yield* Lock;
      const before = yield* lock.acquire("name", "me", 60_000);
      if (before === null) return yield* Effect.die("a free lease was refused");
      fences.push(before.fence);
      for (let turn = 0; turn < 3; turn += 1) {
        yield* lock.release(before);
        fences.push((yield* lock.acquire("name", "me", 60_000))?.fence ?? 0);
      }
      yield* Effect.promise(() => first.stop());
      // Nothing was persisted: another server on the same port.
      const second = yield* Effect.acquireRelease(
        Effect.promise(() => startRedis({ port: Number(new URL(first.url).port) })),
        (server) => Effect.promise(() => server.stop()),
      );
      expect(second.url).toBe(first.url);
      const other = yield* Effect.eventually(lock.acquire("name", "somebody else", 60_000));
      fences.push(other?.fence ?? 0);
      expect(yield* lock.renew(before, 60_000)).toBe("Lost");
      yield* lock.release(before);
      expect(yield* lock.acquire("name", "me", 60_000)).toBe(null);
    }).pipe(Effect.scoped, Effect.provide(Layer.provide(RedisLock.layer, client({ url: first.url, prefix: "wiped" }))), Effect.runPromise);
    for (const [index, fence] of fences.entries()) expect(fence).toBeGreaterThan(fences[index - 1] ?? 0);
    expect(fences).toHaveLength(5);
  });

  test("a server that cannot write says Unavailable, and nothing happened", () =>
    Effect.gen(function* () {
      const redis = yield* RedisClient.RedisClient;
      const session = yield* redis.session;
      yield* Effect.promise(() => admin.config("SET", "maxmemory", "1"));
      const error = yield* Effect.flip(session.use("test", (connection) => connection.write("test", [["set", "full", "x"]])));
      yield* Effect.promise(() => admin.config("SET", "maxmemory", "0"));
      expect(error).toMatchObject({ reason: "Unavailable", isRetryable: true });
      expect(yield* Effect.promise(() => admin.get("full"))).toBe(null);
    }).pipe(Effect.scoped, Effect.provide(client({ url: server.url })), Effect.runPromise));

  test("a wrong type inside EXEC is refused, since EXEC does not roll back", () =>
    Effect.gen(function* () {
      const redis = yield* RedisClient.RedisClient;
      const session = yield* redis.session;
      yield* Effect.promise(() => admin.set("text", "x"));
      const error = yield* Effect.flip(session.use("test", (connection) => connection.write("test", [["sadd", "text", "y"]])));
      expect(RedisError.toStoreError(error).reason).toBe("Refused");
    }).pipe(Effect.scoped, Effect.provide(client({ url: server.url })), Effect.runPromise));
});

/** A caller as the port wants it: the same list again until there is an answer. */
const untilKnown =
  <A, B>(call: (input: A) => Effect.Effect<B, StoreError>) =>
  (input: A): Effect.Effect<B, StoreError> =>
    Effect.retry(call(input), { while: (error) => error.isRetryable || error.reason === "Unknown" });
