/** The decision about an `Adjust`: goods are counted, and what is promised beyond them is revoked. */
import { Result } from "effect";
import { IDENTIFIER_MAX, SHORT_NAME_EXPECTED, STOCK_MAX, WAREHOUSES_MAX } from "../Limits.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Sku } from "./Sku.ts";
import type { Adjust, AdjustKind, StockAccepted } from "./StockCommand.ts";
import type { StockEvent } from "./StockEvent.ts";
import * as StockNames from "./StockNames.ts";
import { type Adjustment, type Hold, quantityOf, shelfOf, type StockView } from "./StockState.ts";
import { done, invalid, type Verdict } from "./StockVerdict.ts";
import { tagOf, type Warehouse } from "./Warehouse.ts";

/** 1 to `IDENTIFIER_MAX` printable characters. Others no person can read, and some (NUL, half a surrogate pair) no database keeps. */
export const isAdjustmentId = (id: string): boolean => id.length > 0 && id.length <= IDENTIFIER_MAX && !UNPRINTABLE.test(id);

/** Control characters, and surrogates without their other half. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u;

const KINDS: ReadonlySet<string> = new Set<AdjustKind>(["receive", "correct", "return"]);

export const adjust = (state: StockView, command: Adjust, now: Timestamp): Verdict => {
  const { id, sku, delta, kind = "correct" } = command;
  const warehouse = tagOf(command.warehouse);
  if (!isAdjustmentId(id)) return invalid(`an adjustment's id has 1 to ${IDENTIFIER_MAX} printable characters`);
  if (!Number.isSafeInteger(delta) || Math.abs(delta) > STOCK_MAX) return invalid(`delta must be a whole number up to ${STOCK_MAX}`);
  if (!StockNames.isShortName(sku)) return invalid(`a SKU has ${SHORT_NAME_EXPECTED}`);
  if (warehouse !== undefined && !StockNames.isShortName(warehouse)) return invalid(`a warehouse has ${SHORT_NAME_EXPECTED}`);
  if (!KINDS.has(kind)) return invalid(`a kind is one of ${[...KINDS].join(", ")}`);
  if (delta < 0 && kind !== "correct") return invalid("what was received or returned is not negative");
  const seen = state.adjustments.get(id);
  if (seen !== undefined) {
    return seen.sku === sku && seen.delta === delta && (seen.kind ?? "correct") === kind && seen.warehouse === warehouse
      ? done(adjusted(seen))
      : Result.fail({ _tag: "AdjustmentMismatch", id });
  }
  const books = state.skus.get(sku);
  const shelf = books === undefined ? undefined : shelfOf(books, warehouse);
  if (shelf === undefined && delta < 0) return Result.fail({ _tag: "UnknownSku", sku });
  if (shelf === undefined && (books?.elsewhere?.length ?? 0) >= WAREHOUSES_MAX)
    return invalid(`a SKU is in at most ${WAREHOUSES_MAX} warehouses`);
  const onHand = (shelf?.onHand ?? 0) + delta;
  if (onHand < 0 || onHand > STOCK_MAX) return invalid(`on hand must stay between 0 and ${STOCK_MAX}`);
  const promised = (shelf?.held ?? 0) + (shelf?.committed ?? 0);
  const revoked = command.decided === true ? [] : revocations(state, sku, warehouse, promised - onHand);
  const shortage = Math.max(0, promised - onHand - revoked.reduce((sum, hold) => sum + quantityOf(hold.lines, sku, warehouse), 0));
  const adjustment: Adjustment = {
    ...{ id, sku, delta, onHand, shortage, at: now },
    ...(kind === "correct" ? {} : { kind }),
    ...(warehouse === undefined ? {} : { warehouse }),
    ...(revoked.length === 0 ? {} : { revoked: revoked.map(({ orderId }) => orderId) }),
  };
  return done(adjusted(adjustment), [
    { _tag: "Adjusted", adjustment },
    ...revoked.map((hold): StockEvent => ({ _tag: "Lapsed", orderId: hold.orderId, reason: "revoked", at: Math.max(now, hold.at) })),
  ]);
};

const adjusted = ({ sku, warehouse, onHand, shortage, revoked }: Adjustment): StockAccepted => ({
  ...{ _tag: "Adjusted", sku, onHand, shortage },
  ...(warehouse === undefined ? {} : { warehouse }),
  ...(revoked === undefined ? {} : { revoked }),
});

/** Newest uncommitted holds of these goods, as many as it takes to give `units` back, or all there are. */
const revocations = (state: StockView, sku: Sku, warehouse: Warehouse | undefined, units: number): ReadonlyArray<Hold> => {
  const revoked: Array<Hold> = [];
  if (units <= 0) return revoked;
  const holds = [...state.holds.values()].filter((hold) => hold.status === "held" && quantityOf(hold.lines, sku, warehouse) > 0);
  let open = units;
  for (const hold of holds.toSorted(newestFirst)) {
    if (open <= 0) break;
    revoked.push(hold);
    open -= quantityOf(hold.lines, sku, warehouse);
  }
  return revoked;
};

const newestFirst = (left: Hold, right: Hold): number => right.reservedAt - left.reservedAt || (left.orderId < right.orderId ? 1 : -1);
