/**
 * What inventory's commands ask of the stock, and what the answers are told as. Pure, and total: every command gets an
 * answer that its saga awaits, whatever the ledger said.
 */
import { Result } from "effect";
import {
  CheckoutMessages as M,
  type Message,
  type OrderId,
  Responder,
  type Sku,
  type StockAccepted,
  type StockCommand,
  type StockLedger,
  type StockRejection,
} from "@org/saga-core";

/** A command of the order coordinator. */
export interface Asked {
  readonly _tag: "Reserve" | "Commit" | "Release" | "Ship";
  readonly orderId: OrderId;
  readonly envelope: Message.Envelope;
  readonly command: StockCommand;
}

/** The stock command that a message stands for; null if it is none of the inventory's. */
export const asked = (envelope: Message.Envelope): Asked | null => {
  if (M.ReserveStock.is(envelope)) {
    const { orderId, lines, ttlMillis } = envelope.body;
    return { _tag: "Reserve", orderId, envelope, command: { _tag: "Reserve", orderId, lines, ttlMillis } };
  }
  if (M.CommitStock.is(envelope)) return simple("Commit", envelope.body.orderId, envelope);
  if (M.ReleaseStock.is(envelope)) return simple("Release", envelope.body.orderId, envelope);
  if (M.ShipStock.is(envelope)) return simple("Ship", envelope.body.orderId, envelope);
  return null;
};

/** What the coordinator hears. */
export const answer = ({ _tag, orderId, envelope }: Asked, said: StockLedger.Answer): ReadonlyArray<Message.Draft> => {
  switch (_tag) {
    case "Reserve":
      return [Result.isSuccess(said) ? reserved(orderId, said.success, envelope) : rejected(orderId, said.failure, envelope)];
    case "Commit":
      // Whatever the reason: the goods are not there for this order any more.
      return [Responder.reply(Result.isSuccess(said) ? M.StockCommitted : M.StockHoldExpired, { orderId }, envelope)];
    case "Release":
      return [
        Result.isSuccess(said)
          ? Responder.reply(M.StockReleased, { orderId, reason: reasonOf(said.success) }, envelope)
          : Responder.reply(M.StockReleaseRefused, { orderId }, envelope),
      ];
    case "Ship":
      return shipped(orderId, said, envelope);
  }
};

const simple = (_tag: "Commit" | "Release" | "Ship", orderId: OrderId, envelope: Message.Envelope): Asked => ({
  _tag,
  orderId,
  envelope,
  command: { _tag, orderId },
});

const reserved = (orderId: OrderId, accepted: StockAccepted, envelope: Message.Envelope): Message.Draft =>
  // A repeated reserve of goods that were promised since says so; they are no longer held until anything.
  Responder.reply(M.StockReserved, { orderId, until: accepted._tag === "Reserved" ? accepted.until : envelope.occurredAt }, envelope);

const rejected = (orderId: OrderId, rejection: StockRejection, envelope: Message.Envelope): Message.Draft =>
  Responder.reply(M.StockRejected, { orderId, skus: skusOf(rejection) }, envelope);

const skusOf = (rejection: StockRejection): ReadonlyArray<Sku> => {
  switch (rejection._tag) {
    case "OutOfStock":
    case "LimitExceeded":
      return rejection.skus;
    case "UnknownSku":
      return [rejection.sku];
    case "ReservationMismatch":
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

const reasonOf = (accepted: StockAccepted): "asked" | "expired" => (accepted._tag === "Released" ? accepted.reason : "asked");

/**
 * Nothing but `shipped` is awaited: the order is paid, so its goods must leave. As long as they cannot (a shortage), there
 * is no answer, and the coordinator asks again.
 */
const shipped = (orderId: OrderId, said: StockLedger.Answer, envelope: Message.Envelope): ReadonlyArray<Message.Draft> =>
  Result.isSuccess(said) ? [Responder.reply(M.StockShipped, { orderId }, envelope)] : [];
