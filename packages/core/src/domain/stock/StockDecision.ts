/**
 * The decisions of the stock ledger, one function per command. Each is a total match over what the order's hold is now:
 * that is where idempotence lives.
 */
import { Result } from "effect";
import { IDENTIFIER_EXPECTED } from "../Limits.ts";
import type { OrderId } from "../order/OrderId.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Sku } from "./Sku.ts";
import { adjust } from "./StockAdjusting.ts";
import type { Expire, StockAccepted, StockCommand } from "./StockCommand.ts";
import * as StockNames from "./StockNames.ts";
import { beyondLimit, checkedTtl, reserve, reservedOf } from "./StockReserving.ts";
import { availableOf, shelfOf, type Hold, type StockView } from "./StockState.ts";
import { done, invalid, type Verdict } from "./StockVerdict.ts";
import type { TakenLine } from "./Warehouse.ts";

export const decide = (state: StockView, command: StockCommand, clock: Timestamp): Verdict => {
  if (command._tag === "Adjust") return adjust(state, command, latest(clock, state, undefined, [command.sku]));
  const hold = state.holds.get(command.orderId);
  if (hold === undefined && !StockNames.isIdentifier(command.orderId)) return invalid(`an order's id has ${IDENTIFIER_EXPECTED}`);
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
      return expire(command, hold, now);
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
      if (!alive && !canTakeAgain(state, hold)) return Result.fail({ _tag: "HoldExpired", orderId });
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
      const absent = lines.filter((line) => (shelfOfLine(state, line)?.onHand ?? 0) < line.quantity).map((line) => line.sku);
      if (absent.length > 0) return Result.fail({ _tag: "OutOfStock", orderId, skus: [...new Set(absent)] });
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
      if (command.until === undefined && now >= hold.until) return Result.fail({ _tag: "HoldExpired", orderId });
      const until = command.until ?? now + ttl.success;
      const answer = reservedOf({ ...hold, until });
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

const expire = ({ orderId, decided }: Expire, hold: Hold | undefined, now: Timestamp): Verdict => {
  if (hold === undefined) return Result.fail({ _tag: "HoldNotFound", orderId });
  switch (hold.status) {
    case "held":
      return now < hold.until && decided !== true
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

/** Whether an order whose time is over can have its goods all the same: from where they were, within its buyer's limit. */
const canTakeAgain = (state: StockView, hold: Hold): boolean => {
  const own = hold.status === "held" ? 1 : 0;
  if (own === 0 && hold.asked !== undefined && beyondLimit(state, hold.asked, hold.lines).length > 0) return false;
  return hold.lines.every((line) => {
    const shelf = shelfOfLine(state, line);
    return shelf !== undefined && availableOf({ ...shelf, held: shelf.held - own * line.quantity }) >= line.quantity;
  });
};

const shelfOfLine = (state: StockView, line: TakenLine) => {
  const books = state.skus.get(line.sku);
  return books === undefined ? undefined : shelfOf(books, line.warehouse);
};

/** Never before the last change of anything the command touches. */
const latest = (clock: Timestamp, state: StockView, hold: Hold | undefined, skus: ReadonlyArray<Sku>): Timestamp => {
  let now = Math.max(clock, hold?.at ?? 0);
  for (const sku of skus) now = Math.max(now, state.skus.get(sku)?.at ?? 0);
  return now;
};

const returned = (hold: Hold): StockAccepted => ({
  _tag: "Released",
  orderId: hold.orderId,
  lines: hold.lines,
  reason: hold.reason ?? "asked",
});
