/**
 * The decisions of the stock ledger, one function per command. Each is a total match over what the order's hold is now:
 * that is where idempotence lives.
 */
import { Result } from "effect";
import { HOLD_TTL_MAX_MS, IDENTIFIER_MAX, ORDER_LINES_MAX, QUANTITY_MAX, STOCK_MAX } from "../Limits.ts";
import type { OrderId } from "../order/OrderId.ts";
import type { Timestamp } from "../Timestamp.ts";
import { Quantity, type Sku, type StockLine } from "./Sku.ts";
import type { StockAccepted, StockCommand, StockRejection } from "./StockCommand.ts";
import type { StockEvent } from "./StockEvent.ts";
import { availableOf, quantityOf, sumLines, type Hold, type StockView } from "./StockState.ts";

export interface Decided {
  readonly answer: StockAccepted;
  /** None: it was so already. */
  readonly events: ReadonlyArray<StockEvent>;
}

export type Verdict = Result.Result<Decided, StockRejection>;

export const decide = (state: StockView, command: StockCommand, clock: Timestamp): Verdict => {
  if (command._tag === "Adjust") return adjust(state, command, latest(clock, state, undefined, [command.sku]));
  const hold = state.holds.get(command.orderId);
  const lines = command._tag === "Reserve" ? command.lines : (hold?.lines ?? []);
  const now = latest(
    clock,
    state,
    hold,
    lines.map((line) => line.sku),
  );
  switch (command._tag) {
    case "Reserve":
      return reserve(state, command, hold, now);
    case "Commit":
      return commit(state, command.orderId, hold, now);
    case "Release":
      return release(command.orderId, hold, now);
    case "Ship":
      return ship(state, command.orderId, hold, now);
    case "Renew":
      return renew(command, hold, now);
    case "Expire":
      return expire(command.orderId, hold, now);
  }
};

const reserve = (
  state: StockView,
  command: Extract<StockCommand, { _tag: "Reserve" }>,
  hold: Hold | undefined,
  now: Timestamp,
): Verdict => {
  const { orderId } = command;
  const summed = checkedLines(command.lines);
  if (Result.isFailure(summed)) return Result.fail(summed.failure);
  const lines = summed.success;
  const ttl = checkedTtl(command.ttlMillis);
  if (Result.isFailure(ttl)) return Result.fail(ttl.failure);
  if (hold !== undefined) return reserveAgain(hold, lines);
  const unknown = lines.find((line) => !state.skus.has(line.sku));
  if (unknown !== undefined) return Result.fail({ _tag: "UnknownSku", sku: unknown.sku });
  const short = missing(state, lines, 0);
  if (short.length > 0) return Result.fail({ _tag: "OutOfStock", orderId, skus: short });
  const until = now + ttl.success;
  return done({ _tag: "Reserved", orderId, lines, until }, [{ _tag: "Held", orderId, lines, until, at: now }]);
};

/** The order was seen before: the same answer, or why not. */
const reserveAgain = (hold: Hold, lines: ReadonlyArray<StockLine>): Verdict => {
  const { orderId } = hold;
  switch (hold.status) {
    case "held":
    case "committed":
    case "shipped":
      return sameLines(hold.lines, lines)
        ? done({ _tag: "Reserved", orderId, lines: hold.lines, until: hold.until })
        : Result.fail({ _tag: "ReservationMismatch", orderId });
    case "lapsed":
      return Result.fail(sameLines(hold.lines, lines) ? { _tag: "HoldExpired", orderId } : { _tag: "ReservationMismatch", orderId });
    case "released":
      return Result.fail({ _tag: "AlreadyReleased", orderId });
  }
};

const commit = (state: StockView, orderId: OrderId, hold: Hold | undefined, now: Timestamp): Verdict => {
  if (hold === undefined) return Result.fail({ _tag: "HoldNotFound", orderId });
  const { lines } = hold;
  switch (hold.status) {
    case "held":
    case "lapsed": {
      const alive = hold.status === "held" && now < hold.until;
      // Over: it gives back what it still has, and takes fresh stock like anyone else. That fails in a shortage, too.
      if (!alive && missing(state, lines, hold.status === "held" ? 1 : 0).length > 0) return Result.fail({ _tag: "HoldExpired", orderId });
      return done({ _tag: "Committed", orderId, lines }, [{ _tag: "Committed", orderId, at: now }]);
    }
    case "committed":
    case "shipped":
      return done({ _tag: "Committed", orderId, lines });
    case "released":
      return Result.fail({ _tag: "AlreadyReleased", orderId });
  }
};

const release = (orderId: OrderId, hold: Hold | undefined, now: Timestamp): Verdict => {
  if (hold === undefined) {
    return done({ _tag: "Released", orderId, lines: [], reason: "asked" }, [{ _tag: "Released", orderId, at: now }]);
  }
  switch (hold.status) {
    case "held":
    case "committed":
    case "lapsed":
      return done(returned(hold), [{ _tag: "Released", orderId, at: now }]);
    case "released":
      return done(returned(hold));
    case "shipped":
      return Result.fail({ _tag: "AlreadyShipped", orderId });
  }
};

const ship = (state: StockView, orderId: OrderId, hold: Hold | undefined, now: Timestamp): Verdict => {
  if (hold === undefined) return Result.fail({ _tag: "HoldNotFound", orderId });
  const { lines } = hold;
  switch (hold.status) {
    case "committed": {
      // In a shortage: what is not in the house cannot leave it.
      const absent = lines.filter((line) => (state.skus.get(line.sku)?.onHand ?? 0) < line.quantity).map((line) => line.sku);
      if (absent.length > 0) return Result.fail({ _tag: "OutOfStock", orderId, skus: absent });
      return done({ _tag: "Shipped", orderId, lines }, [{ _tag: "Shipped", orderId, at: now }]);
    }
    case "shipped":
      return done({ _tag: "Shipped", orderId, lines });
    case "held":
    case "lapsed":
      return Result.fail({ _tag: "NotCommitted", orderId });
    case "released":
      return Result.fail({ _tag: "AlreadyReleased", orderId });
  }
};

const renew = (command: Extract<StockCommand, { _tag: "Renew" }>, hold: Hold | undefined, now: Timestamp): Verdict => {
  const { orderId } = command;
  const ttl = checkedTtl(command.ttlMillis);
  if (Result.isFailure(ttl)) return Result.fail(ttl.failure);
  if (hold === undefined) return Result.fail({ _tag: "HoldNotFound", orderId });
  switch (hold.status) {
    case "held": {
      if (now >= hold.until) return Result.fail({ _tag: "HoldExpired", orderId });
      const until = now + ttl.success;
      const answer: StockAccepted = { _tag: "Reserved", orderId, lines: hold.lines, until };
      return until === hold.until ? done(answer) : done(answer, [{ _tag: "Renewed", orderId, until, at: now }]);
    }
    case "committed":
      // Nothing to renew: a promise does not expire.
      return done({ _tag: "Committed", orderId, lines: hold.lines });
    case "lapsed":
      return Result.fail({ _tag: "HoldExpired", orderId });
    case "released":
      return Result.fail({ _tag: "AlreadyReleased", orderId });
    case "shipped":
      return Result.fail({ _tag: "AlreadyShipped", orderId });
  }
};

const expire = (orderId: OrderId, hold: Hold | undefined, now: Timestamp): Verdict => {
  if (hold === undefined) return Result.fail({ _tag: "HoldNotFound", orderId });
  switch (hold.status) {
    case "held":
      return now < hold.until
        ? Result.fail({ _tag: "HoldAlive", orderId, until: hold.until })
        : done({ _tag: "Released", orderId, lines: hold.lines, reason: "expired" }, [
            { _tag: "Lapsed", orderId, reason: "expired", at: now },
          ]);
    case "lapsed":
    case "released":
      return done(returned(hold));
    case "committed":
      return Result.fail({ _tag: "HoldAlive", orderId, until: hold.until });
    case "shipped":
      return Result.fail({ _tag: "AlreadyShipped", orderId });
  }
};

const adjust = (state: StockView, command: Extract<StockCommand, { _tag: "Adjust" }>, now: Timestamp): Verdict => {
  const { id, sku, delta } = command;
  if (id.length === 0 || id.length > IDENTIFIER_MAX) return invalid(`an adjustment's id has 1 to ${IDENTIFIER_MAX} characters`);
  if (!Number.isSafeInteger(delta) || Math.abs(delta) > STOCK_MAX) return invalid(`delta must be a whole number up to ${STOCK_MAX}`);
  const seen = state.adjustments.get(id);
  if (seen !== undefined) {
    return seen.sku === sku && seen.delta === delta
      ? done({ _tag: "Adjusted", sku, onHand: seen.onHand, shortage: seen.shortage })
      : invalid("the id was used for another adjustment");
  }
  const books = state.skus.get(sku);
  if (books === undefined && delta < 0) return Result.fail({ _tag: "UnknownSku", sku });
  const onHand = (books?.onHand ?? 0) + delta;
  if (onHand < 0 || onHand > STOCK_MAX) return invalid(`on hand must stay between 0 and ${STOCK_MAX}`);
  const promised = (books?.held ?? 0) + (books?.committed ?? 0);
  const revoked = revocations(state, sku, promised - onHand);
  const shortage = Math.max(0, promised - onHand - revoked.reduce((sum, hold) => sum + quantityOf(hold.lines, sku), 0));
  return done({ _tag: "Adjusted", sku, onHand, shortage }, [
    { _tag: "Adjusted", id, sku, delta, onHand, shortage, at: now },
    ...revoked.map((hold): StockEvent => ({ _tag: "Lapsed", orderId: hold.orderId, reason: "revoked", at: Math.max(now, hold.at) })),
  ]);
};

/** Newest uncommitted holds with `sku`, as many as it takes to give `units` back, or all there are. */
const revocations = (state: StockView, sku: Sku, units: number): ReadonlyArray<Hold> => {
  const revoked: Array<Hold> = [];
  if (units <= 0) return revoked;
  const holds = [...state.holds.values()].filter((hold) => hold.status === "held" && quantityOf(hold.lines, sku) > 0);
  let open = units;
  for (const hold of holds.toSorted(newestFirst)) {
    if (open <= 0) break;
    revoked.push(hold);
    open -= quantityOf(hold.lines, sku);
  }
  return revoked;
};

const newestFirst = (left: Hold, right: Hold): number => right.reservedAt - left.reservedAt || (left.orderId < right.orderId ? 1 : -1);

/** SKUs of which less is available than the lines need; `own` 1: the order still holds its lines itself. */
const missing = (state: StockView, lines: ReadonlyArray<StockLine>, own: 0 | 1): ReadonlyArray<Sku> =>
  lines
    .filter(({ sku, quantity }) => {
      const books = state.skus.get(sku);
      return books === undefined || availableOf({ ...books, held: books.held - own * quantity }) < quantity;
    })
    .map((line) => line.sku);

const checkedLines = (lines: ReadonlyArray<StockLine>): Result.Result<ReadonlyArray<StockLine>, StockRejection> => {
  if (lines.length === 0) return invalid("a reservation needs at least one line");
  if (lines.length > ORDER_LINES_MAX) return invalid(`a reservation has at most ${ORDER_LINES_MAX} lines`);
  // Each on its own first: a negative line must not hide in a sum.
  if (!lines.every((line) => isQuantity(line.quantity))) return invalid(`a quantity is a whole number from 1 to ${QUANTITY_MAX}`);
  const summed = sumLines(lines);
  if (!summed.every(([, quantity]) => isQuantity(quantity))) return invalid(`the lines of one SKU sum up to more than ${QUANTITY_MAX}`);
  return Result.succeed(summed.map(([sku, quantity]) => ({ sku, quantity: Quantity.make(quantity) })));
};

const checkedTtl = (ttlMillis: number): Result.Result<number, StockRejection> =>
  Number.isSafeInteger(ttlMillis) && ttlMillis > 0 && ttlMillis <= HOLD_TTL_MAX_MS
    ? Result.succeed(ttlMillis)
    : invalid(`ttlMillis is a whole number from 1 to ${HOLD_TTL_MAX_MS}`);

const isQuantity = (value: number): boolean => Number.isSafeInteger(value) && value >= 1 && value <= QUANTITY_MAX;

const sameLines = (left: ReadonlyArray<StockLine>, right: ReadonlyArray<StockLine>): boolean =>
  left.length === right.length && left.every((line, at) => line.sku === right[at]?.sku && line.quantity === right[at].quantity);

/** Never before the last change of anything the command touches. */
const latest = (clock: Timestamp, state: StockView, hold: Hold | undefined, skus: ReadonlyArray<Sku>): Timestamp => {
  let now = Math.max(clock, hold?.at ?? 0);
  for (const sku of skus) now = Math.max(now, state.skus.get(sku)?.at ?? 0);
  return now;
};

/** A revoked hold answers like an expired one: its time was ended early. */
const returned = (hold: Hold): StockAccepted => ({
  _tag: "Released",
  orderId: hold.orderId,
  lines: hold.lines,
  reason: hold.reason === null || hold.reason === "asked" ? "asked" : "expired",
});

const done = (answer: StockAccepted, events: ReadonlyArray<StockEvent> = []): Verdict => Result.succeed({ answer, events });

const invalid = (detail: string): Result.Result<never, StockRejection> => Result.fail({ _tag: "InvalidQuantity", detail });
