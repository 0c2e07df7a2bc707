import { Effect } from "effect";
import { describe, expect, test } from "vitest";
import { MemoryStock, StockReservation } from "../../src/index.ts";
import * as Contract from "../../src/testing/Contract.ts";
import { history } from "../../src/testing/contracts/StockHistory.ts";

const engine = Effect.provide(StockReservation, MemoryStock.layer);

describe("StockHistory", () => {
  test("finds out engines that do not share their data", () =>
    Effect.gen(function* () {
      const found = yield* Effect.flip(history([yield* engine, yield* engine]));
      expect(found).toBeInstanceOf(Contract.Violation);
    }).pipe(Effect.runPromise));

  test("finds out an engine that forgets what it was told now and then", () =>
    Effect.gen(function* () {
      const stock = yield* engine;
      let calls = 0;
      const forgetful: StockReservation["Service"] = {
        ...stock,
        execute: (commands) =>
          Effect.flatMap(stock.execute(commands), (answers) =>
            (calls += 1) % 5 === 0
              ? Effect.as(
                  stock.execute(commands.flatMap((each) => (each._tag === "Reserve" ? [{ _tag: "Release", orderId: each.orderId }] : []))),
                  answers,
                )
              : Effect.succeed(answers),
          ),
      };
      expect(yield* Effect.flip(history([forgetful]))).toBeInstanceOf(Contract.Violation);
    }).pipe(Effect.runPromise));
});
