import { Effect, Layer } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, test } from "vitest";
import { MemoryStockLog, StockLedger, StockLog } from "../../src/index.ts";
import { Contract, StockLogContract } from "../../src/testing/index.ts";

describe("MemoryStockLog keeps the contract of StockLog: it", () => {
  for (const { name, run } of StockLogContract.cases) {
    test(name, () =>
      run.pipe(
        Effect.provideService(Contract.Wait, (millis: number) => TestClock.adjust(millis)),
        Effect.provide(Layer.merge(MemoryStockLog.layer, TestClock.layer())),
        Effect.runPromise,
      ),
    );
  }
});

describe("MemoryStockLog", () => {
  test("is another server after a wipe, and has no generation", () =>
    Effect.gen(function* () {
      const logs = yield* MemoryStockLog.make;
      const log = yield* Effect.provide(StockLog, MemoryStockLog.layerOf(logs));
      const before = yield* log.server;
      yield* log.open(0, 1, StockLedger.empty);
      logs.wipe();
      expect(yield* log.server).not.toEqual(before);
      expect(yield* log.read(0, 1)).toBeNull();
    }).pipe(Effect.runPromise));
});
