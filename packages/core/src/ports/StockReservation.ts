/**
 * Atomic stock reservation. Engines differ in where the state lives; they all answer as `StockLedger.decideBatch` does,
 * whatever happens beside, and write only if what they read has not changed. No transaction is needed: every command is idempotent, so a caller runs
 * it before it commits its own records, and again after a crash.
 */
import { Context, type Effect, type Result } from "effect";
import type { OrderId } from "../domain/order/OrderId.ts";
import type { Sku } from "../domain/stock/Sku.ts";
import type { StockAccepted, StockBalance, StockCommand, StockRejection } from "../domain/stock/StockCommand.ts";
import type { StoreError } from "./StoreError.ts";

export class StockReservation extends Context.Service<
  StockReservation,
  {
    /**
     * One answer per command, in order. Each command sees the effects of those before it. A command is all or nothing;
     * commands do not fail each other. After `StoreError` some may have happened: run the same list again.
     * `now` is the engine's clock, never below the last one it used.
     */
    readonly execute: (
      commands: ReadonlyArray<StockCommand>,
    ) => Effect.Effect<ReadonlyArray<Result.Result<StockAccepted, StockRejection>>, StoreError>;
    /** The books of `skus`, over all warehouses and of each; unknown ones are absent. */
    readonly balances: (skus: ReadonlyArray<Sku>) => Effect.Effect<ReadonlyMap<Sku, StockBalance>, StoreError>;
    /** Every SKU's books, for reconciliation. */
    readonly allBalances: Effect.Effect<ReadonlyArray<StockBalance>, StoreError>;
    /** Orders whose holds ended, oldest first, at most `max`: what `Expire` is then asked for. */
    readonly expired: (max: number) => Effect.Effect<ReadonlyArray<OrderId>, StoreError>;
  }
>()("@org/saga-core/ports/StockReservation") {}
