/** An engine behind `StockReservation`: every lane is a fiber that asks one command at a time, as a service does. */
import { SoldOut, type StockCommand, StockReservation, type StoreError } from "@org/saga-core";
import { Effect, Layer, ManagedRuntime, Result } from "effect";
import type { Engine, Lane } from "./Engine.ts";

export const open = async <E>(layer: Layer.Layer<StockReservation, E>, soldOut: boolean, close: () => Promise<void>): Promise<Engine> => {
  const runtime = ManagedRuntime.make(soldOut ? SoldOut.layer.pipe(Layer.provide(layer)) : Layer.merge(layer, noDoor));
  const { stock, door } = await runtime.runPromise(Effect.all({ stock: StockReservation, door: SoldOut.SoldOut }));
  const ask = (command: StockCommand) => (soldOut && command._tag === "Reserve" ? door.first([command]) : stock.execute([command]));
  const fiber = ({ next, seen }: Lane): Effect.Effect<void, StoreError> =>
    Effect.suspend(() => {
      let command = next();
      return Effect.whileLoop({
        while: () => command !== undefined,
        body: () => (command === undefined ? Effect.succeed([]) : ask(command)),
        step: ([answer]) => {
          if (command === undefined || answer === undefined) throw new Error("a command without an answer");
          seen(command, Result.isSuccess(answer) ? answer.success._tag : answer.failure._tag);
          command = next();
        },
      });
    });
  return {
    run: (lanes) => runtime.runPromise(Effect.forEach(lanes, fiber, { concurrency: "unbounded", discard: true })),
    books: () => runtime.runPromise(stock.allBalances),
    close: async () => {
      await runtime.dispose();
      await close();
    },
  };
};

/** Nothing in front of the engine. */
const noDoor = Layer.succeed(SoldOut.SoldOut, { first: () => Effect.die(new Error("no local marks here")) });
