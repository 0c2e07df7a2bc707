import { Effect } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, test } from "vitest";
import { StockReservation } from "../../src/index.ts";
import * as Contract from "../../src/testing/Contract.ts";
import * as StockContention from "../../src/testing/contracts/StockContention.ts";
import * as StockReservationContract from "../../src/testing/contracts/StockReservationContract.ts";
import * as World from "./HybridWorld.ts";

const passing = Effect.provideService(Contract.Wait, (millis) => TestClock.adjust(millis));

for (const durable of [false, true]) {
  describe(`HybridStock (durable: ${durable}) keeps the contract of StockReservation: it`, () => {
    for (const { name, run } of StockReservationContract.cases) {
      test(name, () =>
        Effect.gen(function* () {
          const { connect, server } = yield* World.make;
          yield* Effect.provideService(run, StockReservation, yield* connect({ durable }));
          expect(server.log).not.toBe(null);
        }).pipe(passing, World.run),
      );
    }
  });
}

describe("HybridStock", () => {
  for (const { name, run } of StockContention.rivalry) {
    test(name, () =>
      Effect.gen(function* () {
        const { connect } = yield* World.make;
        const rivals = [yield* connect({ durable: true }), yield* connect({ durable: true })];
        yield* Effect.provideService(run, StockContention.Rivals, rivals);
      }).pipe(passing, World.run),
    );
  }
});
