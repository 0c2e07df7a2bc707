import { StockLedger, StockLog } from "@org/saga-core";
import { Contract, StockLogContract } from "@org/saga-core/testing";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer } from "effect";
import { describe, expect, test } from "vitest";
import { RedisClient, RedisConfig, RedisStockLog } from "../src/index.ts";
import { apple, booksOf, heldOrders, receive, reserve, words } from "./StockLogWorld.ts";

const url = realServer("redis") ?? "";

const logs = (prefix: string, options: RedisStockLog.Options = {}) =>
  RedisStockLog.layerWith(options).pipe(Layer.provide(RedisClient.layer), Layer.provide(RedisConfig.layer({ url, prefix })));

/** Processes on the same keys, each with a state of its own. */
const processes = Effect.fnUntraced(function* (count: number, options: RedisStockLog.Options = {}) {
  const prefix = yield* Contract.unique("test");
  const connect = Effect.flatMap(Layer.build(Layer.fresh(logs(prefix, options))), (context) => Effect.provide(StockLog, context));
  return { connect, all: yield* Effect.replicateEffect(connect, count) };
});

const at = (all: ReadonlyArray<StockLog["Service"]>, index: number): StockLog["Service"] => {
  const log = all[index % all.length];
  if (log === undefined) throw new Error("at least one process");
  return log;
};

describe.runIf(url !== "")("RedisStockLog keeps the contract of StockLog: it", () => {
  for (const { name, run } of StockLogContract.cases) {
    test(name, () =>
      Contract.unique("test").pipe(
        Effect.flatMap((prefix) => Effect.provide(run, logs(prefix))),
        Effect.runPromise,
      ),
    );
  }
});

describe.runIf(url !== "")("RedisStockLog", () => {
  test("a process that asked before anybody opened the generation finds it once it is open", () =>
    Effect.gen(function* () {
      const { all } = yield* processes(2);
      const [early, opener] = [at(all, 0), at(all, 1)];
      for (const generation of [1, 2]) {
        expect(words(yield* early.execute(0, generation, [reserve("a")]))).toEqual(["Ended"]);
        expect(yield* early.read(0, generation)).toBeNull();
        yield* opener.open(0, generation, StockLedger.empty);
        yield* opener.execute(0, generation, [receive(3)]);
        expect(words(yield* early.execute(0, generation, [reserve("a")]))).toEqual(["Reserved"]);
      }
      expect(words(yield* early.execute(0, 1, [reserve("b")]))).toEqual(["Ended"]);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("lets processes that contend for one SKU sell each unit once, and answers all of them", () =>
    Effect.gen(function* () {
      const { connect, all } = yield* processes(4);
      yield* (yield* connect).open(0, 1, StockLedger.empty);
      yield* (yield* connect).execute(0, 1, [receive(300)]);
      const verdicts = yield* Effect.forEach(
        Array.from({ length: 400 }, (_, buyer) => buyer),
        (buyer) => at(all, buyer).execute(0, 1, [reserve(`b${buyer}`)]),
        { concurrency: "unbounded" },
      );
      expect(verdicts.filter((verdict) => words(verdict)[0] === "Reserved").length).toBe(300);
      for (const log of all) expect(booksOf(yield* log.read(0, 1))).toEqual({ onHand: 300, held: 300, committed: 0 });
    }).pipe(Effect.scoped, Effect.runPromise));

  test("a newcomer finds the same state in the snapshot and the entries since, whoever wrote them and however often", () =>
    Effect.gen(function* () {
      const { connect, all } = yield* processes(2, { snapshotAfter: 2_000 });
      const [first, second] = [at(all, 0), at(all, 1)];
      yield* first.open(0, 1, StockLedger.empty);
      yield* first.execute(0, 1, [receive(100_000)]);
      for (let round = 0; round < 60; round++) {
        const names = Array.from({ length: 20 }, (_, index) => `${round}.${index}`);
        const log = round % 2 === 0 ? first : second;
        yield* log.execute(
          0,
          1,
          names.map((name) => reserve(name, 1, 1 + round)),
        );
        yield* log.execute(0, 1, [{ _tag: "Release", orderId: reserve(`${round}.3`).orderId }]);
      }
      const known = yield* first.read(0, 1);
      const expected = { books: booksOf(known), held: heldOrders(known) };
      const newcomer = yield* (yield* connect).read(0, 1);
      expect({ books: booksOf(newcomer), held: heldOrders(newcomer) }).toEqual(expected);
      expect(newcomer?.holds.get(reserve("7.3").orderId)?.status).toBe("released");
      expect(newcomer?.skus.get(apple)?.held).toBe(60 * 19);
    }).pipe(Effect.scoped, Effect.runPromise));
});
