/** What is ordered: the same for every contender. Made beforehand, so that asking costs next to nothing. */
import { Limits, OrderId, Quantity, Sku, type StockCommand, type StockLine } from "@org/saga-core";

/** Different SKUs of a cell. */
const SKUS = 1_000;

/** Random carts that are asked for in turn. */
const CARTS = 4_096;

/** Order ids of a cell; each cell has keys of its own, so they come again. More than any engine answers in a cell. */
const ORDERS = 400_000;

/** Enough of every SKU for a cell. */
const UNITS = 100_000_000;

/** Long enough that no hold ends by itself. */
export const TTL_MS = 600_000;

export const HOT = Sku.make("hot");
const skus = Array.from({ length: SKUS }, (_, index) => Sku.make(`sku-${String(index).padStart(5, "0")}`));
const one = Quantity.make(1);

/** Goods of every SKU. */
export const seed = (hot: number): ReadonlyArray<StockCommand> => [
  { _tag: "Adjust", id: "seed-hot", sku: HOT, delta: hot },
  ...skus.map((sku): StockCommand => ({ _tag: "Adjust", id: `seed-${sku}`, sku, delta: UNITS })),
];

/** What is on hand then. */
export const onHand = (hot: number): number => hot + SKUS * UNITS;

export const HOT_UNITS = Limits.STOCK_MAX;

/** Carts of so many lines of a unit each. Of a hot cell each has the hot SKU, and others for its other lines. */
export const carts = (lines: number, hot: boolean): ReadonlyArray<ReadonlyArray<StockLine>> => {
  let state = 1;
  const random = (): StockLine => {
    // A linear congruential generator (Numerical Recipes): the same carts in every process.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return { sku: skus[state % SKUS] ?? HOT, quantity: one };
  };
  return Array.from({ length: CARTS }, () => {
    const cart = new Map<Sku, StockLine>(hot ? [[HOT, { sku: HOT, quantity: one }]] : []);
    while (cart.size < lines) {
      const line = random();
      cart.set(line.sku, line);
    }
    return [...cart.values()];
  });
};

/** As long as a UUID, and none like another. */
export const orderId = (worker: number, index: number): OrderId =>
  OrderId.make(`${String(worker).padStart(8, "0")}-0000-7000-8000-${String(index).padStart(12, "0")}`);

/** The orders of a worker. */
export const orderIds = (worker: number): ReadonlyArray<OrderId> => Array.from({ length: ORDERS }, (_, index) => orderId(worker, index));
