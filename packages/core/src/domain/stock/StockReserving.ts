/** The decision about a `Reserve`: what of it can be granted, or the same answer again. */
import { Result } from "effect";
import { HOLD_TTL_MAX_MS, IDENTIFIER_EXPECTED, ORDER_LINES_MAX, QUANTITY_MAX, SHORT_NAME_EXPECTED, WAREHOUSES_MAX } from "../Limits.ts";
import type { Timestamp } from "../Timestamp.ts";
import { Quantity, type Sku, type StockLine } from "./Sku.ts";
import type { Reserve, Reserved, ReservePolicy, SplitPolicy, StockCommand, StockRejection } from "./StockCommand.ts";
import * as StockNames from "./StockNames.ts";
import * as StockPlacement from "./StockPlacement.ts";
import { buyerKey, type Asked, type Hold, type StockView, sumLines } from "./StockState.ts";
import type { TakenLine } from "./Warehouse.ts";
import { done, invalid, type Verdict } from "./StockVerdict.ts";

export const reserve = (state: StockView, command: Reserve, hold: Hold | undefined, now: Timestamp): Verdict => {
  const { orderId } = command;
  const checked = checkedLines(command.lines);
  if (Result.isFailure(checked)) return Result.fail(checked.failure);
  const lines = checked.success;
  const ttl = checkedTtl(command.ttlMillis);
  if (Result.isFailure(ttl)) return Result.fail(ttl.failure);
  const wishes = wishesOf(command, lines);
  if (Result.isFailure(wishes)) return Result.fail(wishes.failure);
  const asked = wishes.success;
  if (hold !== undefined) return again(hold, lines, asked);

  const unknown = lines.find((line) => !state.skus.has(line.sku));
  if (unknown !== undefined) return Result.fail({ _tag: "UnknownSku", sku: unknown.sku });
  const { granted } = command;
  const over = asked === null ? [] : beyondLimit(state, asked, granted ?? lines);
  if (over.length > 0) return Result.fail({ _tag: "LimitExceeded", orderId, skus: over });
  const placed = granted === undefined ? StockPlacement.place(state, asked ?? ordinary(lines)) : StockPlacement.placeAgain(state, granted);
  if (Result.isFailure(placed)) return Result.fail({ _tag: "OutOfStock", orderId, skus: placed.failure });

  const until = now + ttl.success;
  const held = { orderId, lines: placed.success, until, at: now };
  return asked === null
    ? done({ _tag: "Reserved", orderId, lines: held.lines, until }, [{ _tag: "Held", ...held }])
    : done(reserved(orderId, held.lines, until, asked), [{ _tag: "Held", ...held, asked }]);
};

/**
 * The lines of a reserve that asks for nothing beyond the ordinary, as its hold will have them; null: it does, or is not valid.
 * If no SKU is short in the default warehouse, and the order was never seen, it is granted just these. For engines that let
 * their database check that.
 */
export const ordinaryLines = (command: StockCommand): ReadonlyArray<StockLine> | null => {
  if (
    command._tag !== "Reserve" ||
    command.granted !== undefined ||
    !StockNames.isIdentifier(command.orderId) ||
    Result.isFailure(checkedTtl(command.ttlMillis))
  )
    return null;
  const lines = checkedLines(command.lines);
  if (Result.isFailure(lines) || !lines.success.every(({ sku }) => StockNames.isShortName(sku))) return null;
  const wishes = wishesOf(command, lines.success);
  return Result.isSuccess(wishes) && wishes.success === null ? lines.success : null;
};

/** What a hold's own `Reserve` is answered, then and now. */
export const reservedOf = (hold: Hold): Reserved => reserved(hold.orderId, hold.lines, hold.until, hold.asked ?? null);

/** SKUs of which these lines, on top of what the buyer's orders have, are more than the limit. */
export const beyondLimit = (state: StockView, asked: Asked, lines: ReadonlyArray<StockLine>): ReadonlyArray<Sku> => {
  const { limit } = asked;
  if (limit === null) return [];
  const units = (sku: Sku): number => state.buyers.get(buyerKey(sku, limit.buyer))?.units ?? 0;
  return sumLines(lines)
    .filter(([sku, quantity]) => units(sku) + quantity > limit.perSku)
    .map(([sku]) => sku);
};

export const checkedTtl = (ttlMillis: number): Result.Result<number, StockRejection> =>
  Number.isSafeInteger(ttlMillis) && ttlMillis > 0 && ttlMillis <= HOLD_TTL_MAX_MS
    ? Result.succeed(ttlMillis)
    : invalid(`ttlMillis is a whole number from 1 to ${HOLD_TTL_MAX_MS}`);

/** The order was seen before: the same answer, or why not. */
const again = (hold: Hold, lines: ReadonlyArray<StockLine>, asked: Asked | null): Verdict => {
  const { orderId } = hold;
  switch (hold.status) {
    case "held":
    case "committed":
    case "shipped":
      return isSame(hold, lines, asked) ? done(reservedOf(hold)) : Result.fail({ _tag: "ReservationMismatch", orderId });
    case "lapsed":
      return Result.fail(isSame(hold, lines, asked) ? { _tag: "HoldExpired", orderId } : { _tag: "ReservationMismatch", orderId });
    case "released":
      return Result.fail({ _tag: "AlreadyReleased", orderId });
  }
};

const reserved = (orderId: Hold["orderId"], lines: ReadonlyArray<TakenLine>, until: Timestamp, asked: Asked | null): Reserved => {
  const missing = asked === null || asked.policy === "all" ? [] : missingOf(asked.lines, lines);
  return missing.length === 0 ? { _tag: "Reserved", orderId, lines, until } : { _tag: "Reserved", orderId, lines, until, missing };
};

const missingOf = (asked: ReadonlyArray<StockLine>, granted: ReadonlyArray<TakenLine>): ReadonlyArray<StockLine> => {
  const got = new Map(sumLines(granted));
  return asked.flatMap(({ sku, quantity }) => {
    const open = quantity - (got.get(sku) ?? 0);
    return open === 0 ? [] : [{ sku, quantity: Quantity.make(open) }];
  });
};

const ordinary = (lines: ReadonlyArray<StockLine>): StockPlacement.Request => ({ lines, policy: "all", warehouses: null, split: "never" });

/** What the request asks for beyond the ordinary; null: nothing. */
const wishesOf = (command: Reserve, lines: ReadonlyArray<StockLine>): Result.Result<Asked | null, StockRejection> => {
  const { policy = "all", split = "never", warehouses = null, limit = null } = command;
  if (policy === "all" && split === "never" && warehouses === null && limit === null) return Result.succeed(null);
  if (!POLICIES.has(policy)) return invalid(`a policy is one of ${[...POLICIES].join(", ")}`);
  if (!SPLITS.has(split)) return invalid(`a split is one of ${[...SPLITS].join(", ")}`);
  if (warehouses !== null && (warehouses.length === 0 || warehouses.length > WAREHOUSES_MAX))
    return invalid(`a list of warehouses names 1 to ${WAREHOUSES_MAX}`);
  if (warehouses !== null && new Set(warehouses).size < warehouses.length) return invalid("a list of warehouses names each once");
  if (warehouses !== null && !warehouses.every(StockNames.isShortName)) return invalid(`a warehouse has ${SHORT_NAME_EXPECTED}`);
  if (limit !== null && !StockNames.isIdentifier(limit.buyer)) return invalid(`a buyer has ${IDENTIFIER_EXPECTED}`);
  if (limit !== null && !isQuantity(limit.perSku)) return invalid(`a limit is a whole number from 1 to ${QUANTITY_MAX}`);
  const buyer = limit === null ? null : { buyer: limit.buyer, perSku: Quantity.make(limit.perSku) };
  return Result.succeed({ lines, policy, warehouses, split, limit: buyer });
};

const POLICIES: ReadonlySet<string> = new Set<ReservePolicy>(["all", "partial"]);
const SPLITS: ReadonlySet<string> = new Set<SplitPolicy>(["never", "allowed"]);

const isSame = (hold: Hold, lines: ReadonlyArray<StockLine>, asked: Asked | null): boolean => {
  const before = hold.asked;
  if (before === undefined || asked === null) return before === undefined && asked === null && sameLines(hold.lines, lines);
  return (
    sameLines(before.lines, lines) &&
    before.policy === asked.policy &&
    before.split === asked.split &&
    before.limit?.buyer === asked.limit?.buyer &&
    before.limit?.perSku === asked.limit?.perSku &&
    before.warehouses?.join() === asked.warehouses?.join()
  );
};

const sameLines = (left: ReadonlyArray<StockLine>, right: ReadonlyArray<StockLine>): boolean =>
  left.length === right.length && left.every((line, at) => line.sku === right[at]?.sku && line.quantity === right[at].quantity);

const checkedLines = (lines: ReadonlyArray<StockLine>): Result.Result<ReadonlyArray<StockLine>, StockRejection> => {
  if (lines.length === 0) return invalid("a reservation needs at least one line");
  if (lines.length > ORDER_LINES_MAX) return invalid(`a reservation has at most ${ORDER_LINES_MAX} lines`);
  // Each on its own first: a negative line must not hide in a sum.
  if (!lines.every((line) => isQuantity(line.quantity))) return invalid(`a quantity is a whole number from 1 to ${QUANTITY_MAX}`);
  if (lines.length === 1) return Result.succeed(lines);
  // As nearly always: nothing to sum up.
  if (new Set(lines.map((line) => line.sku)).size === lines.length)
    return Result.succeed(lines.map(({ sku, quantity }) => ({ sku, quantity })).toSorted((left, right) => (left.sku < right.sku ? -1 : 1)));
  const summed = sumLines(lines);
  if (!summed.every(([, quantity]) => isQuantity(quantity))) return invalid(`the lines of one SKU sum up to more than ${QUANTITY_MAX}`);
  return Result.succeed(summed.map(([sku, quantity]) => ({ sku, quantity: Quantity.make(quantity) })));
};

const isQuantity = (value: number): boolean => Number.isSafeInteger(value) && value >= 1 && value <= QUANTITY_MAX;
