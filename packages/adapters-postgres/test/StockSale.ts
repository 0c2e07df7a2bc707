/**
 * A sale on `PgStock`: buyers who reserve, commit, release or walk away, from any number of engines, and the books that have to
 * balance afterwards whatever happened meanwhile.
 */
import { OrderId, Quantity, Sku, type StockCommand, type StockLedger, StockReservation, type StoreError } from "@org/saga-core";
import { Effect, Layer, Result, Schedule } from "effect";
import { PgClient, PgMigrations, PgStock } from "../src/index.ts";

export type Engine = StockReservation["Service"];

/** Short enough that who walks away is swept within a test, in milliseconds. */
const TTL_MS = 2_000;

/** Buyers at a time. */
const TILLS = 16;
const SKUS = ["apple", "pear", "plum"].map((name) => Sku.make(name));

/** Of each SKU: the sale outlives every fault, */
export const PLENTY = 1_000_000;
/** or ends in the middle. */
export const FEW = 1_000;

/** Pause before a buyer whose question was not answered asks again, in milliseconds. */
const AGAIN_MS = 20;

/** An engine with connections of its own, as a process has. */
export const connect = (url: string, schema: string) =>
  Effect.flatMap(
    Layer.build(
      Layer.fresh(PgStock.layer.pipe(Layer.provide(PgMigrations.layer), Layer.provide(PgClient.layer({ url, schema, poolSize: 4 })))),
    ),
    (context) => Effect.provide(StockReservation, context),
  );

/** As the port wants it: the same again until there is an answer. */
const untilKnown = <A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
  Effect.retry(effect, { while: (error) => error.isRetryable || error.reason === "Unknown", schedule: Schedule.spaced(AGAIN_MS) });

const ask = (engine: Engine, command: StockCommand): Effect.Effect<StockLedger.Answer, StoreError> =>
  Effect.flatMap(untilKnown(engine.execute([command])), ([answer]) =>
    answer === undefined ? Effect.die(new Error("one answer per command")) : Effect.succeed(answer),
  );

export const stock = (engine: Engine, units: number): Effect.Effect<void, StoreError> =>
  Effect.forEach(SKUS, (sku) => ask(engine, { _tag: "Adjust", id: `first-${sku}`, sku, delta: units }), { discard: true });

/** What buyers were told. */
export interface Sale {
  readonly committed: Set<OrderId>;
  readonly released: Set<OrderId>;
  refused: number;
}

export const begin = (): Sale => ({ committed: new Set(), released: new Set(), refused: 0 });

/** What the buyer with this number does: half of them commit, some release, some walk away. */
const buy = Effect.fnUntraced(function* (engine: Engine, sale: Sale, name: string, number: number): Effect.fn.Return<void, StoreError> {
  const orderId = OrderId.make(`${name}-${number}`);
  const lines = SKUS.slice(number % 3).map((sku) => ({ sku, quantity: Quantity.make(1 + (number % 2)) }));
  const reserved = yield* ask(engine, { _tag: "Reserve", orderId, lines, ttlMillis: TTL_MS });
  if (Result.isFailure(reserved)) {
    sale.refused += 1;
  } else if (number % 4 < 2) {
    if (Result.isSuccess(yield* ask(engine, { _tag: "Commit", orderId }))) sale.committed.add(orderId);
  } else if (number % 4 === 2) {
    if (Result.isSuccess(yield* ask(engine, { _tag: "Release", orderId }))) sale.released.add(orderId);
  }
});

/** Buyers, one after the other at each till, until interrupted. */
export const run = (engines: ReadonlyArray<Engine>, sale: Sale, name: string): Effect.Effect<never, StoreError> => {
  let number = 0;
  const till = Effect.suspend(() => {
    number += 1;
    const engine = engines[number % engines.length];
    return engine === undefined ? Effect.never : buy(engine, sale, name, number);
  });
  const tills = Array.from({ length: TILLS }, () => Effect.forever(till));
  return Effect.andThen(Effect.all(tills, { concurrency: "unbounded", discard: true }), Effect.never);
};

/** Ends what is due, until nothing is held any more. */
export const sweep = Effect.fnUntraced(function* (engine: Engine): Effect.fn.Return<void, StoreError> {
  for (;;) {
    const due = yield* untilKnown(engine.expired(500));
    yield* Effect.forEach(due, (orderId) => ask(engine, { _tag: "Expire", orderId }), { concurrency: 32, discard: true });
    const balances = yield* untilKnown(engine.allBalances);
    if (balances.every(({ held }) => held === 0)) return;
    yield* Effect.sleep("100 millis");
  }
});

/** Units of the books, and what the orders say they should be. */
export const BOOKS = (schema: string): string => `
select sku, on_hand::int as "onHand", held::int as held, committed::int as committed,
  (select coalesce(sum((line ->> 'quantity')::int), 0)::int from "${schema}".stock_holds, json_array_elements(lines) as line
   where status = 'held' and line ->> 'sku' = sku) as "heldByOrders",
  (select coalesce(sum((line ->> 'quantity')::int), 0)::int from "${schema}".stock_holds, json_array_elements(lines) as line
   where status = 'committed' and line ->> 'sku' = sku) as "committedByOrders"
from "${schema}".stock_skus order by sku`;
