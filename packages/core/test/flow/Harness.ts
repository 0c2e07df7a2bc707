/** Runs a program of the flow on memory adapters and a virtual clock. */
import { Effect, Exit, Layer, type Scope } from "effect";
import { MemoryDatabase, MemoryStock, MemoryStores, type MessageBus, type StockReservation } from "@org/saga-core";
import { Simulator } from "@org/saga-core/testing";

export interface World {
  readonly database: MemoryDatabase.Database;
  readonly stock: MemoryStock.Stock;
}

export type Ports = MemoryStores.Ports | StockReservation;

export const simulate = <A, E>(program: (world: World) => Effect.Effect<A, E, Ports | Scope.Scope>, seed = 1): A => {
  const run = Simulator.run(
    { seed, limitMillis: 30 * 86_400_000 },
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const stock = yield* MemoryStock.make;
      return yield* Effect.scoped(
        Effect.provide(program({ database, stock }), Layer.merge(MemoryStores.layerOf(database), MemoryStock.layerOf(stock))),
      );
    }),
  );
  if (Exit.isFailure(run.exit)) throw new Error(Simulator.explain(run.exit));
  return run.exit.value;
};

/** A bus that publishes into a list, as `publish` says. */
export const busOf = (publish: MessageBus["Service"]["publish"], consume?: MessageBus["Service"]["consume"]): MessageBus["Service"] => ({
  publish,
  consume: consume ?? (() => Effect.never),
  ensureTopics: () => Effect.void,
});
