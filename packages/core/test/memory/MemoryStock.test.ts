import { Effect } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, test } from "vitest";
import { Sku, StockReservation } from "../../src/index.ts";
import * as FaultPoint from "../../src/memory/FaultPoint.ts";
import * as MemoryStock from "../../src/memory/MemoryStock.ts";
import * as Contract from "../../src/testing/Contract.ts";
import * as StockContention from "../../src/testing/contracts/StockContention.ts";
import * as StockReservationContract from "../../src/testing/contracts/StockReservationContract.ts";

const apple = Sku.make("apple");

const receive = Effect.flatMap(StockReservation, (stock) => stock.execute([{ _tag: "Adjust", id: "first", sku: apple, delta: 3 }]));
const onHand = Effect.flatMap(StockReservation, (stock) => Effect.map(stock.balances([apple]), (balances) => balances.get(apple)?.onHand));

/** Nothing here sleeps: a case lets time pass by moving the test clock. */
const onTestClock = <A, E>(run: Effect.Effect<A, E>) =>
  run.pipe(
    Effect.provideService(Contract.Wait, (millis) => TestClock.adjust(millis)),
    Effect.provide(TestClock.layer()),
    Effect.runPromise,
  );

describe("MemoryStock keeps the contract of StockReservation: it", () => {
  for (const { name, run } of StockReservationContract.cases) {
    test(name, () => onTestClock(Effect.provide(run, MemoryStock.layer)));
  }
});

describe("MemoryStock", () => {
  for (const { name, run } of StockContention.rivalry) {
    test(name, () =>
      Effect.gen(function* () {
        const stock = yield* MemoryStock.make;
        const connect = Effect.provide(StockReservation, MemoryStock.layerOf(stock));
        yield* Effect.provideService(run, StockContention.Rivals, [yield* connect, yield* connect]);
      }).pipe(onTestClock),
    );
  }

  test("survives the layers of a process that is gone", () =>
    Effect.gen(function* () {
      const stock = yield* MemoryStock.make;
      yield* Effect.provide(receive, MemoryStock.layerOf(stock));
      expect(yield* Effect.provide(onHand, MemoryStock.layerOf(stock))).toBe(3);
      expect(yield* Effect.provide(onHand, MemoryStock.layer)).toBe(undefined);
    }).pipe(Effect.runPromise));

  test("passes a fault point before and after each call", () =>
    Effect.gen(function* () {
      const passed: Array<string> = [];
      const all = Effect.gen(function* () {
        const stock = yield* StockReservation;
        yield* receive;
        yield* onHand;
        yield* stock.allBalances;
        yield* stock.expired(1);
      });
      yield* Effect.provide(all, MemoryStock.layer).pipe(
        Effect.provideService(FaultPoint.Handler, (name) => Effect.sync(() => void passed.push(name))),
      );
      expect(passed).toEqual(
        ["execute", "balances", "allBalances", "expired"].flatMap((method) => [
          `StockReservation.${method}.before`,
          `StockReservation.${method}.after`,
        ]),
      );
    }).pipe(Effect.runPromise));
});
