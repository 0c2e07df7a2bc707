/**
 * `StockReservation` in memory: the pure ledger behind a clock. A batch is decided and applied in one step that nothing
 * can come between.
 *
 * `make` gives the ledger as a value that outlives the layers on top of it, as a server's data outlives its clients.
 * It is not durable, and there is nothing to lose a race with: one process, one ledger.
 */
import { Clock, Effect, Layer } from "effect";
import type { OrderId } from "../domain/order/OrderId.ts";
import type { Sku } from "../domain/stock/Sku.ts";
import type { StockBalance, StockCommand } from "../domain/stock/StockCommand.ts";
import * as StockLedger from "../domain/stock/StockLedger.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { StockReservation } from "../ports/StockReservation.ts";
import * as FaultPoint from "./FaultPoint.ts";

export class Stock implements StockLedger.StockView {
  readonly skus = new Map<Sku, StockLedger.SkuBooks>();
  readonly holds = new Map<OrderId, StockLedger.Hold>();
  readonly adjustments = new Map<string, StockLedger.Adjustment>();
  readonly buyers = new Map<StockLedger.BuyerKey, StockLedger.BuyerUnits>();
  /** The `held` ones of `holds`. */
  readonly live = new Map<OrderId, StockLedger.Hold>();
  #last: Timestamp = 0;

  execute(commands: ReadonlyArray<StockCommand>, clock: Timestamp): ReadonlyArray<StockLedger.Answer> {
    const { answers, writes } = StockLedger.decideBatch(this.part(commands), commands, this.at(clock));
    this.apply(writes);
    return answers;
  }

  /** What is decided now is dated so: never before what was decided last. */
  at(clock: Timestamp): Timestamp {
    this.#last = Math.max(this.#last, clock);
    return this.#last;
  }

  part(commands: ReadonlyArray<StockCommand>): StockLedger.StockView {
    return StockLedger.part(this, commands, (sku) => [...this.live.values()].filter((hold) => hold.lines.some((line) => line.sku === sku)));
  }

  apply(writes: StockLedger.StockWrites): void {
    for (const books of writes.skus) this.skus.set(books.sku, books);
    for (const adjustment of writes.adjustments) this.adjustments.set(adjustment.id, adjustment);
    for (const units of writes.buyers) this.buyers.set(StockLedger.buyerKey(units.sku, units.buyer), units);
    for (const hold of writes.holds) {
      this.holds.set(hold.orderId, hold);
      if (hold.status === "held") this.live.set(hold.orderId, hold);
      else this.live.delete(hold.orderId);
    }
  }

  expired(clock: Timestamp, max: number): ReadonlyArray<OrderId> {
    const now = Math.max(this.#last, clock);
    return [...this.live.values()]
      .filter((hold) => hold.until <= now)
      .toSorted((left, right) => left.until - right.until || (left.orderId < right.orderId ? -1 : 1))
      .slice(0, max)
      .map((hold) => hold.orderId);
  }
}

/** An empty ledger. */
export const make: Effect.Effect<Stock> = Effect.sync(() => new Stock());

/** A process's connection to a ledger that lives elsewhere. */
export const layerOf = (stock: Stock): Layer.Layer<StockReservation> => Layer.succeed(StockReservation, serviceOf(stock));

/** A ledger of its own. */
export const layer: Layer.Layer<StockReservation> = Layer.effect(StockReservation, Effect.map(make, serviceOf));

/** The port on top of a ledger. */
export function serviceOf(stock: Stock): StockReservation["Service"] {
  const balances = (skus: Iterable<Sku>): ReadonlyArray<StockBalance> =>
    [...skus].flatMap((sku) => {
      const books = stock.skus.get(sku);
      return books === undefined ? [] : [StockLedger.balanceOf(books)];
    });
  return {
    execute: (commands) =>
      FaultPoint.around(
        "StockReservation.execute",
        Effect.map(Clock.currentTimeMillis, (now) => stock.execute(commands, now)),
      ),
    balances: (skus) =>
      FaultPoint.around(
        "StockReservation.balances",
        Effect.sync(() => new Map(balances(skus).map((balance) => [balance.sku, balance]))),
      ),
    allBalances: FaultPoint.around(
      "StockReservation.allBalances",
      Effect.sync(() => balances([...stock.skus.keys()].toSorted())),
    ),
    expired: (max) =>
      FaultPoint.around(
        "StockReservation.expired",
        Effect.map(Clock.currentTimeMillis, (now) => stock.expired(now, max)),
      ),
  };
}
