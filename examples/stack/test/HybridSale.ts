/**
 * A sale on the hybrid stock engine, on real servers: buyers who reserve, commit, release or walk away, from any number of
 * engines, and the books that have to balance afterwards whatever happened meanwhile.
 */
import {
  HybridStock,
  OrderId,
  Quantity,
  Sku,
  type StockCommand,
  type StockLedger,
  StockReservation,
  type StoreError,
} from "@org/saga-core";
import { PgClient, PgMigrations, PgStockBooks } from "@org/saga-postgres";
import { RedisClient, RedisConfig, RedisStockLog } from "@org/saga-redis";
import { Effect, Layer, Result } from "effect";

export interface Place {
  readonly postgresUrl: string;
  readonly redisUrl: string;
  readonly schema: string;
}

export type Engine = StockReservation["Service"];

/** Short enough that who walks away is swept within a test. */
const TTL_MS = 3_000;

const BUYERS_AT_ONCE = 16;
const SKUS = ["apple", "pear", "plum"].map((name) => Sku.make(name));

/** Units of each SKU: the sale ends when they are gone, and outlives every fault. */
export const UNITS = 100_000;

/** An engine with connections of its own, as a process has. */
export const layer = (
  { postgresUrl, redisUrl, schema }: Place,
  options: HybridStock.Options = {},
): Layer.Layer<StockReservation, unknown> => {
  const redis = RedisClient.layerAtOnce.pipe(Layer.provide(RedisConfig.layer({ url: redisUrl, prefix: schema })));
  const client = PgClient.layer({ url: postgresUrl, schema, poolSize: 6 });
  return HybridStock.layerWith(options).pipe(
    Layer.provide([RedisStockLog.layer.pipe(Layer.provide(redis)), PgStockBooks.layer]),
    Layer.provide(PgMigrations.layer),
    Layer.provide(client),
  );
};

export const connect = (place: Place) =>
  Effect.flatMap(Layer.build(Layer.fresh(layer(place))), (context) => Effect.provide(StockReservation, context));

/** As the port wants it: the same command again until there is an answer. */
const ask = (engine: Engine, command: StockCommand): Effect.Effect<StockLedger.Answer, StoreError> =>
  engine.execute([command]).pipe(
    Effect.retry({ while: (error) => error.isRetryable || error.reason === "Unknown" }),
    Effect.flatMap(([answer]) => (answer === undefined ? Effect.die(new Error("one answer per command")) : Effect.succeed(answer))),
  );

export const stock = (engine: Engine): Effect.Effect<void, StoreError> =>
  Effect.forEach(SKUS, (sku) => ask(engine, { _tag: "Adjust", id: `first-${sku}`, sku, delta: UNITS }), { discard: true });

export interface Sale {
  /** Orders whose commit was answered, and those whose release was. */
  readonly committed: Set<OrderId>;
  readonly released: Set<OrderId>;
  /** Reserves that were granted. */
  granted: number;
}

export const begin = (): Sale => ({ committed: new Set(), released: new Set(), granted: 0 });

/** What the buyer with this number does: as many commit as not, some release, some walk away. */
const buy = Effect.fnUntraced(function* (engine: Engine, sale: Sale, name: string, number: number): Effect.fn.Return<void, StoreError> {
  const orderId = OrderId.make(`${name}-${number}`);
  const lines = SKUS.slice(number % 3).map((sku) => ({ sku, quantity: Quantity.make(1 + (number % 2)) }));
  const reserved = yield* ask(engine, { _tag: "Reserve", orderId, lines, ttlMillis: TTL_MS });
  if (Result.isFailure(reserved)) return;
  sale.granted += 1;
  if (number % 4 < 2) {
    if (Result.isSuccess(yield* ask(engine, { _tag: "Commit", orderId }))) sale.committed.add(orderId);
  } else if (number % 4 === 2) {
    if (Result.isSuccess(yield* ask(engine, { _tag: "Release", orderId }))) sale.released.add(orderId);
  }
});

/** Buyers, one after the other at each of some tills, until interrupted. */
export const run = (engines: ReadonlyArray<Engine>, sale: Sale, name: string): Effect.Effect<never, StoreError> => {
  let number = 0;
  const till = Effect.suspend(() => {
    number += 1;
    const engine = engines[number % engines.length];
    return engine === undefined ? Effect.never : buy(engine, sale, name, number);
  });
  const tills = Array.from({ length: BUYERS_AT_ONCE }, () => Effect.forever(till));
  return Effect.andThen(Effect.all(tills, { concurrency: "unbounded", discard: true }), Effect.never);
};

/** One more order, through to its commit. */
export const sells = Effect.fnUntraced(function* (engine: Engine, name: string): Effect.fn.Return<boolean, StoreError> {
  const sale = begin();
  yield* buy(engine, sale, name, 4);
  return sale.committed.size === 1;
});

/** Ends what is due, until nothing is held any more. */
export const sweep = Effect.fnUntraced(function* (engine: Engine): Effect.fn.Return<void, StoreError> {
  for (;;) {
    const due = yield* engine.expired(500).pipe(Effect.retry({ while: (error) => error.isRetryable }));
    yield* Effect.forEach(due, (orderId) => ask(engine, { _tag: "Expire", orderId }), { concurrency: 32, discard: true });
    const balances = yield* engine.allBalances.pipe(Effect.retry({ while: (error) => error.isRetryable }));
    const logged = yield* engine.balances(SKUS).pipe(Effect.retry({ while: (error) => error.isRetryable }));
    if (balances.every(({ held }) => held === 0) && [...logged.values()].every(({ held }) => held === 0)) return;
    yield* Effect.sleep("200 millis");
  }
});

/** Units of the ledger's books, and what its holds say they should be; with the orders that are committed. */
export const BOOKS = (schema: string): string => `
select sku, on_hand::int as "onHand", held::int as held, committed::int as committed,
  (select coalesce(sum((line ->> 'quantity')::int), 0)::int from "${schema}".stock_holds, json_array_elements(lines) as line
   where status = 'held' and line ->> 'sku' = sku) as "heldByOrders",
  (select coalesce(sum((line ->> 'quantity')::int), 0)::int from "${schema}".stock_holds, json_array_elements(lines) as line
   where status = 'committed' and line ->> 'sku' = sku) as "committedByOrders"
from "${schema}".stock_skus order by sku`;
