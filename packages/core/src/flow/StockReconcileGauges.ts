/** What a comparison of the stock came to, for the gauges that say whether books balance. */
import { Effect, Metric } from "effect";
import type * as StockDrift from "../domain/stock/StockDrift.ts";

/** Orders are not counted: an operator asks about them. */
type Drift = StockDrift.LedgerDrift | StockDrift.LogDrift | { readonly _tag: "Unclaimed" | "Unmet" };

const booksDrift = Metric.gauge("saga_stock_books_drift", {
  description:
    "Units by which the ledger's books differ from its holds and adjustments, and holds that cannot be read, as it was last compared",
});
const logDrift = Metric.gauge("saga_stock_log_drift", {
  description: "Differences between the ledger and the log that serves, as they were last compared",
});

const COLUMNS = ["onHand", "held", "committed", "shortage", "buyers", "unreadable"] as const;

export const measure = Effect.fnUntraced(function* (drifts: ReadonlyArray<Drift>) {
  const units = new Map<string, number>(COLUMNS.map((column) => [column, 0]));
  let ofLog = 0;
  for (const drift of drifts) {
    if (drift._tag === "Books" || drift._tag === "Buyer") {
      const column = drift._tag === "Books" ? drift.column : "buyers";
      units.set(column, (units.get(column) ?? 0) + Math.abs(drift.booked - drift.recorded));
    } else if (drift._tag === "Unreadable") units.set("unreadable", (units.get("unreadable") ?? 0) + 1);
    else if (drift._tag !== "Unclaimed" && drift._tag !== "Unmet") ofLog += 1;
  }
  for (const [column, count] of units) yield* Metric.update(Metric.withAttributes(booksDrift, { column }), count);
  yield* Metric.update(logDrift, ofLog);
});
