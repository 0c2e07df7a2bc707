/** What inventory tells besides what the checkout hears. */
import { CheckoutMessages as M, Message, Sku, Warehouse } from "@org/saga-core";
import { Schema } from "effect";

/** Goods were counted in or out. `onHand` and `shortage` are what this adjustment made of them, which need not be the latest word. */
export const StockAdjusted = Message.event(
  "inventory.adjusted.v1",
  Schema.Struct({
    adjustmentId: Schema.String,
    sku: Sku,
    warehouse: Warehouse,
    delta: Schema.Int,
    kind: Schema.Literals(["receive", "correct", "return"]),
    onHand: Schema.Int,
    shortage: Schema.Int,
  }),
  { topic: M.StockReserved.topic, key: ({ sku }) => sku },
);

/** Everything that inventory reads and writes. */
export const catalogue = Message.catalogue([...M.catalogue.types.values(), StockAdjusted]);
