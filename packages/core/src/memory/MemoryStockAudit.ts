/** `StockAudit` of a ledger in memory. */
import { Clock, Effect, Layer } from "effect";
import * as StockDrift from "../domain/stock/StockDrift.ts";
import type { Sku } from "../domain/stock/Sku.ts";
import { StockAudit } from "../ports/StockAudit.ts";
import * as FaultPoint from "./FaultPoint.ts";
import type { Stock } from "./MemoryStock.ts";

/** A process's connection to a ledger that lives elsewhere. */
export const layerOf = (stock: Stock): Layer.Layer<StockAudit> => {
  const take = (): StockDrift.Stocktake => ({
    skus: [...stock.skus.values()],
    buyers: [...stock.buyers.values()],
    ...StockDrift.talliesOf(stock.holds.values(), stock.adjustments.values()),
    unreadable: [],
  });
  const call = <A>(method: string, run: (now: number) => A) =>
    FaultPoint.around(`StockAudit.${method}`, Effect.map(Clock.currentTimeMillis, run));
  return Layer.succeed(StockAudit, {
    take: call("take", take),
    holds: (also) =>
      call("holds", () => {
        const asked = new Set(also);
        const holds = new Map([...stock.holds].filter(([orderId, hold]) => StockDrift.isLive(hold) || asked.has(orderId)));
        return { holds, unreadable: [] };
      }),
    correct: (sku) =>
      call("correct", (clock) => {
        const writes = StockDrift.correction(only(take(), sku), sku, stock.at(clock));
        if (typeof writes === "string") return writes;
        stock.apply(writes);
        return "Corrected";
      }),
  });
};

const only = ({ skus, tallies, buyers, buyerTallies, unreadable }: StockDrift.Stocktake, sku: Sku): StockDrift.Stocktake => {
  const isIts = (each: { readonly sku: Sku }): boolean => each.sku === sku;
  return {
    skus: skus.filter(isIts),
    tallies: tallies.filter(isIts),
    buyers: buyers.filter(isIts),
    buyerTallies: buyerTallies.filter(isIts),
    unreadable,
  };
};
