/**
 * The ledger of stock as its auditor sees it: books and records side by side, and the one write that no decision makes, books
 * that are made to fit their records (`StockDrift.correction`).
 */
import { Context, type Effect } from "effect";
import type { OrderId } from "../domain/order/OrderId.ts";
import type { Sku } from "../domain/stock/Sku.ts";
import type * as StockDrift from "../domain/stock/StockDrift.ts";
import type { Hold } from "../domain/stock/StockState.ts";
import type { StoreError } from "./StoreError.ts";

/** What orders have. Of those that somebody has damaged there is nothing but their names. */
export interface StockHolds {
  readonly holds: ReadonlyMap<OrderId, Hold>;
  readonly unreadable: ReadonlyArray<StockDrift.Unreadable>;
}

export class StockAudit extends Context.Service<
  StockAudit,
  {
    /** Of one moment. Looks at every adjustment and hold there ever was. */
    readonly take: Effect.Effect<StockDrift.Stocktake, StoreError>;
    /** What is held or promised now, and whatever became of these orders. */
    readonly holds: (also: ReadonlyArray<OrderId>) => Effect.Effect<StockHolds, StoreError>;
    /**
     * Compares one SKU again while nothing of it can change, and writes what makes its books fit, recorded as adjustments. All or
     * nothing. `Fitting`: there was nothing to correct (any more). `Doubtful`: the difference may be a hold that cannot be read.
     */
    readonly correct: (sku: Sku) => Effect.Effect<"Corrected" | "Fitting" | "Doubtful", StoreError>;
  }
>()("@org/saga-core/ports/StockAudit") {}
