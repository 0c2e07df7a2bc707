/** Processes in front of one stock engine, and what is asked of them. */
import { Context, Effect, Layer, type Scope } from "effect";
import { TestClock } from "effect/testing";
import { OrderId, SoldOut, type StockCommand, StockReservation } from "../../src/index.ts";
import * as MemoryStock from "../../src/memory/MemoryStock.ts";
import * as Contract from "../../src/testing/Contract.ts";
import { word } from "../../src/testing/contracts/StockShop.ts";
import { line } from "../domain/stock/StockModel.ts";

export const apple = line("apple", 1).sku;
export const pear = line("pear", 1).sku;
const TTL_MS = 60_000;

export type Reserve = Extract<StockCommand, { readonly _tag: "Reserve" }>;

export const order = (name: string | number) => OrderId.make(`o${name}`);
export const request = (name: string | number, quantity = 1, sku = apple, ttlMillis = TTL_MS): Reserve => ({
  _tag: "Reserve",
  orderId: order(name),
  lines: [line(sku, quantity)],
  ttlMillis,
});
export const adjust = (id: string, delta: number, sku = apple): StockCommand => ({ _tag: "Adjust", id, sku, delta });
export const release = (name: string | number): StockCommand => ({ _tag: "Release", orderId: order(name) });

/** A process in front of `engine`, which counts the commands that reach it. */
export const connect = Effect.fnUntraced(function* (engine: StockReservation["Service"]) {
  const asked: Array<StockCommand> = [];
  const counting = Layer.succeed(StockReservation, {
    ...engine,
    execute: (commands) => Effect.suspend(() => (asked.push(...commands), engine.execute(commands))),
  });
  const context = yield* Layer.build(Layer.fresh(SoldOut.layer.pipe(Layer.provide(counting))));
  const stock = Context.get(context, StockReservation);
  const door = Context.get(context, SoldOut.SoldOut);
  return {
    asked,
    stock,
    ask: (...commands: ReadonlyArray<StockCommand>) => Effect.map(stock.execute(commands), (answers) => answers.map(word)),
    first: (...requests: ReadonlyArray<Reserve>) => Effect.map(door.first(requests), (answers) => answers.map(word)),
    door,
  };
});

export const memory = Effect.map(Layer.build(Layer.fresh(MemoryStock.layer)), (context) => Context.get(context, StockReservation));

/** One process in front of an engine of its own, with these apples. */
export const shop = Effect.fnUntraced(function* (units: number) {
  const process = yield* connect(yield* memory);
  yield* process.ask(adjust("seed", units), adjust("seed-pear", 9, pear));
  process.asked.length = 0;
  return process;
});

export const onTestClock = <A, E>(run: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.scoped(run).pipe(
    Effect.provideService(Contract.Wait, (millis) => TestClock.adjust(millis)),
    Effect.provide(TestClock.layer()),
    Effect.runPromise,
  );
