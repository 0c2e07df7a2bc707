/**
 * `StockReservation` on Redis alone: a shard's log (`RedisStockLog`) with nothing durable behind it. What waits in this process
 * is one batch.
 *
 * It is a gate, not the ledger: it never grants a unit twice within one past of its server (G1), and it knows what the server
 * knows. After a restart from an older snapshot, or a failover that lost the tail, it goes on with what is left: holds that
 * were granted since are not there any more (`HoldNotFound`). A server that has lost everything is not believed by whoever
 * knew it before: `Unavailable`, until the processes are started again, which is to say: count the goods anew.
 */
import { type OrderId, type StockCommand, StockLedger, StockMailbox, StockReservation, StoreError } from "@org/saga-core";
import { Effect, Layer, type Scope } from "effect";
import type { RedisClient } from "./RedisClient.ts";
import * as RedisStockLog from "./RedisStockLog.ts";

export interface Options extends Pick<RedisStockLog.Options, "snapshotAfter"> {
  /** Which part of the stock: its keys share a slot. One is enough until one Redis is not. */
  readonly shard?: number;
}

export const make = Effect.fnUntraced(function* (
  options: Options,
): Effect.fn.Return<StockReservation["Service"], never, RedisClient | Scope.Scope> {
  const log = yield* RedisStockLog.make({ ...options, broken: "pass" });
  const shard = options.shard ?? 0;
  let generation: number | null = null;

  const begun = Effect.suspend(() =>
    generation === null ? Effect.map(log.begin(shard), (it) => (generation = it)) : Effect.succeed(generation),
  );

  /** The generation that `use` found ended: another one was begun, or the server has another past. */
  const again = Effect.fnUntraced(function* (operation: string): Effect.fn.Return<void, StoreError> {
    const top = yield* log.top(shard);
    if (top === null) return yield* new StoreError({ reason: "Unavailable", operation, message: "the server has lost the stock's log" });
    if (top !== generation) yield* Effect.logWarning(`the stock's log begins anew: generation ${top}`);
    else yield* Effect.logWarning("the stock's log has lost entries: this process goes on with what the server has");
    generation = top;
    yield* log.forget(shard);
  });

  const whole = Effect.fnUntraced(function* <A>(
    operation: string,
    use: (generation: number) => Effect.Effect<A | null, StoreError>,
  ): Effect.fn.Return<A, StoreError> {
    for (;;) {
      const found = yield* use(yield* begun);
      if (found !== null) return found;
      yield* again(operation);
    }
  });

  const EXECUTE = "StockReservation.execute";
  // For each batch: no generator.
  const run = (commands: ReadonlyArray<StockCommand>): Effect.Effect<ReadonlyArray<StockLedger.Answer>, StoreError> =>
    generation === null
      ? Effect.flatMap(begun, () => run(commands))
      : Effect.flatMap(log.execute(shard, generation, commands), (verdict) =>
          verdict._tag === "Decided" ? Effect.succeed(verdict.answers) : Effect.flatMap(again(EXECUTE), () => run(commands)),
        );
  return {
    execute: yield* StockMailbox.make("RedisStock", run),
    balances: Effect.fn("StockReservation.balances")(function* (skus) {
      const view = yield* whole("StockReservation.balances", (current) => log.read(shard, current));
      const found = skus.flatMap((sku) => view.skus.get(sku) ?? []);
      return new Map(found.map((books) => [books.sku, StockLedger.balanceOf(books)]));
    }),
    allBalances: Effect.withSpan(
      Effect.map(
        whole("StockReservation.allBalances", (current) => log.read(shard, current)),
        (view) => [...view.skus.values()].map(StockLedger.balanceOf).toSorted((left, right) => (left.sku < right.sku ? -1 : 1)),
      ),
      "StockReservation.allBalances",
    ),
    expired: Effect.fn("StockReservation.expired")((max): Effect.Effect<ReadonlyArray<OrderId>, StoreError> =>
      whole("StockReservation.expired", (current) => log.expired(shard, current, max)),
    ),
  };
});

export const layerWith = (options: Options): Layer.Layer<StockReservation, never, RedisClient> =>
  Layer.effect(StockReservation, make(options));

export const layer: Layer.Layer<StockReservation, never, RedisClient> = layerWith({});
