/** Where the lines of a request are taken from, and how much of them. */
import { Result } from "effect";
import { Quantity, type Sku, type StockLine } from "./Sku.ts";
import type { ReservePolicy, SplitPolicy } from "./StockCommand.ts";
import { availableOf, shelfOf, type StockView } from "./StockState.ts";
import { DEFAULT_WAREHOUSE, tagOf, type TakenLine, type Warehouse } from "./Warehouse.ts";

export interface Request {
  /** Summed per SKU, in SKU order. */
  readonly lines: ReadonlyArray<StockLine>;
  readonly policy: ReservePolicy;
  /** In the order of preference; null: anywhere. */
  readonly warehouses: ReadonlyArray<Warehouse> | null;
  readonly split: SplitPolicy;
}

/** What is taken, or the SKUs that are short. Every SKU is known. */
export type Placement = Result.Result<ReadonlyArray<TakenLine>, ReadonlyArray<Sku>>;

export const place = (state: StockView, request: Request): Placement => {
  const { lines, warehouses: listed } = request;
  if (listed !== null) return among(state, request, listed);
  // Nearly every request: the default warehouse has it all, or is the only one.
  const short = shortIn(state, lines, undefined);
  if (short.length === 0) return Result.succeed(lines);
  const others = elsewhere(state, lines);
  if (others.length === 0 && request.policy === "all") return Result.fail(short);
  return among(state, request, [DEFAULT_WAREHOUSE, ...others]);
};

/** From where they were taken before. */
export const placeAgain = (state: StockView, lines: ReadonlyArray<TakenLine>): Placement => {
  const short = lines.filter(({ sku, quantity, warehouse }) => availableIn(state, sku, warehouse) < quantity).map((line) => line.sku);
  return short.length === 0 ? Result.succeed(lines) : Result.fail([...new Set(short)]);
};

/** Of what the lines need, the SKUs of which this warehouse has less available. */
export const shortIn = (state: StockView, lines: ReadonlyArray<StockLine>, warehouse: Warehouse | undefined): ReadonlyArray<Sku> =>
  lines.filter(({ sku, quantity }) => availableIn(state, sku, warehouse) < quantity).map((line) => line.sku);

const among = (state: StockView, request: Request, warehouses: ReadonlyArray<Warehouse>): Placement => {
  const { lines, policy } = request;
  const tags = warehouses.map(tagOf);
  for (const tag of tags) if (shortIn(state, lines, tag).length === 0) return Result.succeed(lines.map((line) => from(line, tag)));
  if (request.split === "allowed") {
    const short = lines.filter(({ sku, quantity }) => tags.reduce((sum, tag) => sum + availableIn(state, sku, tag), 0) < quantity);
    const taken = policy === "partial" || short.length === 0 ? spread(state, lines, tags) : [];
    return taken.length > 0 ? Result.succeed(taken) : Result.fail(short.map((line) => line.sku));
  }
  const taken = policy === "partial" ? mostOf(tags.map((tag) => spread(state, lines, [tag]))) : [];
  return taken.length > 0 ? Result.succeed(taken) : Result.fail(shortIn(state, lines, tags[0]));
};

/** Of each line what the warehouses have, the first ones first. */
const spread = (
  state: StockView,
  lines: ReadonlyArray<StockLine>,
  tags: ReadonlyArray<Warehouse | undefined>,
): ReadonlyArray<TakenLine> => {
  const taken: Array<TakenLine> = [];
  for (const { sku, quantity } of lines) {
    let open: number = quantity;
    for (const tag of tags) {
      const units = Math.min(open, availableIn(state, sku, tag));
      if (units > 0) taken.push(from({ sku, quantity: Quantity.make(units) }, tag));
      open -= units;
    }
  }
  return taken;
};

/** The offer with the most units; of equal ones the first. */
const mostOf = (offers: ReadonlyArray<ReadonlyArray<TakenLine>>): ReadonlyArray<TakenLine> =>
  offers.reduce((best, offer) => (unitsOf(offer) > unitsOf(best) ? offer : best), []);

const unitsOf = (lines: ReadonlyArray<TakenLine>): number => lines.reduce((sum, line) => sum + line.quantity, 0);

const availableIn = (state: StockView, sku: Sku, warehouse: Warehouse | undefined): number => {
  const books = state.skus.get(sku);
  const shelf = books === undefined ? undefined : shelfOf(books, warehouse);
  return shelf === undefined ? 0 : availableOf(shelf);
};

/** Warehouses besides the default one that ever had any of these goods, by name. */
const elsewhere = (state: StockView, lines: ReadonlyArray<StockLine>): ReadonlyArray<Warehouse> => {
  const names = new Set<Warehouse>();
  for (const { sku } of lines) for (const shelf of state.skus.get(sku)?.elsewhere ?? []) names.add(shelf.warehouse);
  return [...names].toSorted();
};

const from = ({ sku, quantity }: StockLine, warehouse: Warehouse | undefined): TakenLine =>
  warehouse === undefined ? { sku, quantity } : { sku, quantity, warehouse };
