/**
 * What messages and requests ask of the stock, and what the answers are told as. Pure, and total: every command of a saga gets
 * an answer that the saga awaits, whatever the ledger said.
 *
 * Beside the saga's commands, two events are listened to. Neither is in the saga's way: each asks for what the saga itself would
 * ask for sooner or later, and the ledger is idempotent per order.
 * - An order that was canceled or has failed (`order.status.changed`) gives back what it still has. Also one that was reserved
 *   over HTTP, or whose saga is stuck. Of a finished order nothing is left.
 * - A payment that was authorized (`payment.authorized`) keeps the hold alive: a buyer whose money is set aside does not lose the
 *   goods while the commit is late. A hold that has ended already stays ended: the commit decides.
 */
import { Result } from "effect";
import {
  CheckoutMessages as M,
  DEFAULT_WAREHOUSE,
  HoldSweeper,
  Limits,
  type Message,
  type OrderId,
  type OrderStatus,
  Responder,
  type Sku,
  type StockAccepted,
  type StockCommand,
  type StockLedger,
  type StockRejection,
} from "@org/saga-core";
import { StockAdjusted } from "./InventoryMessages.ts";
import type { Telling } from "./StockNews.ts";

/** What a message asks. `GiveBack`, `Keep`: nobody awaits an answer. */
export interface Asked {
  readonly _tag: "Reserve" | "Commit" | "Release" | "Ship" | "GiveBack" | "Keep";
  readonly orderId: OrderId;
  readonly envelope: Message.Envelope;
  readonly command: StockCommand;
}

/** How long a hold lives once its payment is authorized, in milliseconds: the longest there is, never shorter than it was asked for. */
const PAID_TTL_MS = Limits.HOLD_TTL_MAX_MS;

/** What a message stands for; null if it asks nothing. */
export const asked = (envelope: Message.Envelope): Asked | null => {
  if (M.ReserveStock.is(envelope)) {
    const { orderId, lines, ttlMillis } = envelope.body;
    return { _tag: "Reserve", orderId, envelope, command: { _tag: "Reserve", orderId, lines, ttlMillis } };
  }
  if (M.CommitStock.is(envelope)) return simple("Commit", envelope.body.orderId, envelope);
  if (M.ReleaseStock.is(envelope)) return simple("Release", envelope.body.orderId, envelope);
  if (M.ShipStock.is(envelope)) return simple("Ship", envelope.body.orderId, envelope);
  if (M.OrderStatusChanged.is(envelope)) {
    const { orderId, to } = envelope.body;
    return givesBack(to) ? { _tag: "GiveBack", orderId, envelope, command: { _tag: "Release", orderId } } : null;
  }
  if (M.PaymentAuthorized.is(envelope)) {
    const { orderId } = envelope.body;
    return { _tag: "Keep", orderId, envelope, command: { _tag: "Renew", orderId, ttlMillis: PAID_TTL_MS } };
  }
  return null;
};

/** What is said about a message, once the stock has answered. */
export const answer = ({ _tag, orderId, envelope, command }: Asked, said: StockLedger.Answer): ReadonlyArray<Telling> => {
  switch (_tag) {
    case "Reserve":
      return [Result.isSuccess(said) ? reserved(orderId, said.success, envelope) : rejected(orderId, said.failure, envelope)];
    case "Commit":
      // Whatever the reason: the goods are not there for this order any more.
      return [reply(Responder.reply(Result.isSuccess(said) ? M.StockCommitted : M.StockHoldExpired, { orderId }, envelope))];
    case "Release":
      return [
        Result.isSuccess(said)
          ? givenBack(orderId, reasonOf(said.success), envelope)
          : reply(Responder.reply(M.StockReleaseRefused, { orderId }, envelope)),
      ];
    case "Ship":
      return shipped(orderId, said, envelope);
    case "GiveBack":
      return Result.isSuccess(said) ? news(command, said.success) : [];
    case "Keep":
      return [];
  }
};

/** What the world hears of a command that was carried out. */
export const news = (command: StockCommand, accepted: StockAccepted): ReadonlyArray<Telling> => {
  switch (accepted._tag) {
    case "Reserved": {
      const { orderId, until } = accepted;
      return [{ _tag: "News", fact: `reserved:${orderId}`, draft: M.StockReserved.draft({ orderId, until }) }];
    }
    case "Released": {
      const { orderId, lines, reason } = accepted;
      // There was nothing to give back.
      if (lines.length === 0) return [];
      return [released(orderId, reason)];
    }
    case "Adjusted": {
      if (command._tag !== "Adjust") return [];
      const { id: adjustmentId, delta, kind = "correct" } = command;
      const { sku, warehouse = DEFAULT_WAREHOUSE, onHand, shortage } = accepted;
      const draft = StockAdjusted.draft({ adjustmentId, sku, warehouse, delta, kind, onHand, shortage });
      return [
        { _tag: "News", fact: `adjusted:${adjustmentId}`, draft },
        ...(accepted.revoked ?? []).map((orderId) => released(orderId, "revoked")),
      ];
    }
    case "Committed":
    case "Shipped":
      return [];
  }
};

const released = (orderId: OrderId, reason: StockLedger.ReturnReason): Telling => ({
  _tag: "News",
  fact: HoldSweeper.releasedFact(orderId, reason),
  draft: M.StockReleased.draft({ orderId, reason }),
  about: orderId,
});

const givesBack = (to: OrderStatus.OrderStatus): boolean => {
  switch (to) {
    case "canceled":
    case "failed":
      return true;
    case "created":
    case "pendingPayment":
    case "awaitingPayment":
    case "awaitingFulfillment":
    case "finished":
    // It had failed before.
    case "refunded":
      return false;
  }
};

const reply = (draft: Message.Draft, fact: string | null = null): Telling => ({ _tag: "Reply", draft, fact });

const simple = (_tag: "Commit" | "Release" | "Ship", orderId: OrderId, envelope: Message.Envelope): Asked => ({
  _tag,
  orderId,
  envelope,
  command: { _tag, orderId },
});

const reserved = (orderId: OrderId, accepted: StockAccepted, envelope: Message.Envelope): Telling => {
  // A repeated reserve of goods that were promised since says so; they are no longer held until anything.
  const until = accepted._tag === "Reserved" ? accepted.until : envelope.occurredAt;
  return reply(Responder.reply(M.StockReserved, { orderId, until }, envelope));
};

const rejected = (orderId: OrderId, rejection: StockRejection, envelope: Message.Envelope): Telling =>
  reply(Responder.reply(M.StockRejected, { orderId, skus: skusOf(rejection) }, envelope));

const skusOf = (rejection: StockRejection): ReadonlyArray<Sku> => {
  switch (rejection._tag) {
    case "OutOfStock":
    case "LimitExceeded":
      return rejection.skus;
    case "UnknownSku":
      return [rejection.sku];
    case "ReservationMismatch":
    case "AdjustmentMismatch":
    case "AlreadyReleased":
    case "HoldExpired":
    case "HoldAlive":
    case "HoldNotFound":
    case "AlreadyShipped":
    case "NotCommitted":
    case "InvalidQuantity":
      return [];
  }
};

const givenBack = (orderId: OrderId, reason: StockLedger.ReturnReason, envelope: Message.Envelope): Telling =>
  reply(Responder.reply(M.StockReleased, { orderId, reason }, envelope), HoldSweeper.releasedFact(orderId, reason));

const reasonOf = (accepted: StockAccepted): StockLedger.ReturnReason => (accepted._tag === "Released" ? accepted.reason : "asked");

/**
 * Nothing but `shipped` is awaited: the order is paid, so its goods must leave. As long as they cannot (a shortage), there
 * is no answer, and the coordinator asks again.
 */
const shipped = (orderId: OrderId, said: StockLedger.Answer, envelope: Message.Envelope): ReadonlyArray<Telling> =>
  Result.isSuccess(said) ? [reply(Responder.reply(M.StockShipped, { orderId }, envelope))] : [];
