import { StockLedger, StockLog } from "@org/saga-core";
import { Contract } from "@org/saga-core/testing";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer, Schedule } from "effect";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RedisClient, RedisConfig, RedisStockLog } from "../src/index.ts";
import * as StockStream from "../src/StockStream.ts";
import { booksOf, heldOrders, keptSnapshots, receive, reserve } from "./StockLogWorld.ts";

const url = realServer("redis") ?? "";

const client = (prefix: string) => RedisClient.layer.pipe(Layer.provide(RedisConfig.layer({ url, prefix })));

/** A process of its own. */
const connect = (prefix: string, options: RedisStockLog.Options = {}) =>
  Effect.flatMap(Layer.build(Layer.fresh(Layer.provide(RedisStockLog.layerWith(options), client(prefix)))), (context) =>
    Effect.provide(StockLog, context),
  );

const lineOf = Effect.fnUntraced(function* (prefix: string) {
  const context = yield* Layer.build(Layer.fresh(client(prefix)));
  const wire = yield* Effect.provide(
    Effect.flatMap(RedisClient.RedisClient, (it) => it.wire),
    context,
  );
  return { wire, redis: yield* wire.connect("test"), keys: StockStream.keysOf(prefix, 0) };
});

describe.runIf(url !== "")("a snapshot", () => {
  let admin: Redis;
  beforeAll(() => {
    admin = new Redis(url);
  });
  afterAll(() => admin.disconnect());

  test("of many holds is finished, although the log grows no more", { timeout: 30_000 }, () =>
    Effect.gen(function* () {
      const prefix = yield* Contract.unique("snap");
      const log = yield* connect(prefix, { snapshotAfter: 300_000 });
      yield* log.open(0, 1, StockLedger.empty);
      yield* log.execute(0, 1, [receive(100_000)]);
      for (let batch = 0; batch < 20; batch++) {
        yield* log.execute(
          0,
          1,
          Array.from({ length: 500 }, (_, index) => reserve(`an-order-of-an-ordinary-length-${batch}.${index}`)),
        );
      }
      const [key = ""] = yield* Effect.repeat(keptSnapshots(admin, prefix), {
        until: (keys) => keys.length > 0,
        schedule: Schedule.spaced("10 millis"),
      });
      expect(yield* Effect.promise(() => admin.llen(key))).toBeGreaterThan(4);
      const known = yield* log.read(0, 1);
      const newcomer = yield* (yield* connect(prefix)).read(0, 1);
      expect({ books: booksOf(newcomer), held: heldOrders(newcomer) }).toEqual({ books: booksOf(known), held: heldOrders(known) });
      expect(heldOrders(newcomer).length).toBe(10_000);
    }).pipe(Effect.scoped, Effect.runPromise),
  );

  test("is read by who has not looked since before it: for him nothing was lost", () =>
    Effect.gen(function* () {
      const prefix = yield* Contract.unique("snap");
      const idle = yield* connect(prefix);
      const busy = yield* connect(prefix, { snapshotAfter: 2_000 });
      yield* idle.open(0, 1, StockLedger.empty);
      yield* idle.execute(0, 1, [receive(1_000)]);
      for (let number = 0; number < 200; number++) yield* busy.execute(0, 1, [reserve(`order-${number}`)]);
      // The entries that follow what it knows are there no more.
      const [first] = yield* Effect.promise(() => admin.xrange(`{stk:${prefix}:0}:log`, "-", "+", "COUNT", 1));
      expect(Number(first?.[0].split("-")[1])).toBeGreaterThan(2);
      expect(yield* idle.execute(0, 1, [reserve("last")])).toMatchObject({ _tag: "Decided", answers: [{ success: { _tag: "Reserved" } }] });
      expect(heldOrders(yield* idle.read(0, 1)).length).toBe(201);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("that lost its first pages while it was written is none", () =>
    Effect.gen(function* () {
      const line = yield* lineOf(yield* Contract.unique("snap"));
      const lose = () => Effect.promise(() => admin.del(line.keys.snapshot("draft")).then(() => true));
      expect(yield* StockStream.draft(line, "draft", ["one", "two"], lose)).toBeNull();
    }).pipe(Effect.scoped, Effect.runPromise));

  test("is written page by page, as long as it is let", () =>
    Effect.gen(function* () {
      const line = yield* lineOf(yield* Contract.unique("snap"));
      const asked: Array<number> = [];
      const goesOn = (written: number) => Effect.sync(() => asked.push(written) < 2);
      expect(yield* StockStream.draft(line, "draft", ["one", "two", "three"], goesOn)).toBeNull();
      expect(asked).toEqual([3, 6]);
      expect(yield* Effect.promise(() => admin.lrange(line.keys.snapshot("draft"), 0, -1))).toEqual(["one", "two"]);
      expect(yield* StockStream.draft(line, "whole", ["one", "two", "three"])).toBe(11);
    }).pipe(Effect.scoped, Effect.runPromise));
});
