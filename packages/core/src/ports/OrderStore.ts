/** Orders with their lines and history, as relations that people may query. */
import { Context, type Effect } from "effect";
import type { Order } from "../domain/order/Order.ts";
import type { OrderId } from "../domain/order/OrderId.ts";
import type { StoreError } from "./StoreError.ts";
import type { Transaction } from "./UnitOfWork.ts";

export interface OrderChange {
  /** As loaded in this transaction; null for a new order. */
  readonly before: Order | null;
  readonly after: Order;
}

export class OrderStore extends Context.Service<
  OrderStore,
  {
    /** The orders of `ids` that exist, locked until the transaction ends, in key order. An absent id is absent in the map. */
    readonly load: (ids: ReadonlyArray<OrderId>) => Effect.Effect<ReadonlyMap<OrderId, Order>, StoreError, Transaction>;
    /**
     * Writes all changes. Guarded by `before.version` and the transition table: a lost race, also two concurrent inserts
     * of one id, fails the transaction with `Contention`. Lines are written once; only new history entries are appended.
     */
    readonly save: (changes: ReadonlyArray<OrderChange>) => Effect.Effect<void, StoreError, Transaction>;
    /** Committed orders of `ids`, without locks. */
    readonly find: (ids: ReadonlyArray<OrderId>) => Effect.Effect<ReadonlyMap<OrderId, Order>, StoreError>;
  }
>()("@org/saga-core/ports/OrderStore") {}
