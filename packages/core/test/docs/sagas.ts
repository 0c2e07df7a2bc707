import { Schema } from "effect";
import { Message, Saga } from "@org/saga-core";

const Line = Schema.Struct({ sku: Schema.String, quantity: Schema.Int, price: Schema.Int });
type Line = typeof Line.Type;

// What an instance remembers. `missing`: what turned out not to be there.
const Data = Schema.Struct({ order: Schema.String, card: Schema.String, lines: Schema.Array(Line), missing: Schema.Array(Line) });
type Data = typeof Data.Type;

const topic = { topic: "shop", key: ({ order }: { readonly order: string }) => order };
const Order = Schema.Struct({ order: Schema.String });
const Lines = Schema.Struct({ order: Schema.String, lines: Schema.Array(Line) });
const Money = Schema.Struct({ order: Schema.String, amount: Schema.Int });
const Payment = Schema.Struct({ order: Schema.String, amount: Schema.Int, card: Schema.String });
const Packed = Schema.Struct({ order: Schema.String, missing: Schema.Array(Line) });

export const M = {
  Reserve: Message.command("shop.reserve.v1", Lines, topic),
  Reserved: Message.event("shop.reserved.v1", Order, topic),
  SoldOut: Message.event("shop.sold-out.v1", Order, topic),
  Release: Message.command("shop.release.v1", Lines, topic),
  Released: Message.event("shop.released.v1", Order, topic),
  CheckFraud: Message.command("shop.check-fraud.v1", Order, topic),
  Harmless: Message.event("shop.harmless.v1", Order, topic),
  Approved: Message.event("shop.approved.v1", Order, topic),
  Pay: Message.command("shop.pay.v1", Payment, topic),
  AskPayment: Message.command("shop.ask-payment.v1", Order, topic),
  Paid: Message.event("shop.paid.v1", Order, topic),
  Declined: Message.event("shop.declined.v1", Order, topic),
  NoPayment: Message.event("shop.no-payment.v1", Order, topic),
  CardChanged: Message.event("shop.card-changed.v1", Schema.Struct({ order: Schema.String, card: Schema.String }), topic),
  Refund: Message.command("shop.refund.v1", Money, topic),
  Refunded: Message.event("shop.refunded.v1", Order, topic),
  RefundRefused: Message.event("shop.refund-refused.v1", Order, topic),
  Pack: Message.command("shop.pack.v1", Lines, topic),
  Packed: Message.event("shop.packed.v1", Packed, topic),
  CannotPack: Message.event("shop.cannot-pack.v1", Order, topic),
};

const priceOf = (lines: ReadonlyArray<Line>) => lines.reduce((sum, { quantity, price }) => sum + quantity * price, 0);
const isShort = ({ missing }: Data) => missing.length > 0;
const order = ({ order }: Data) => ({ order });
const missing = ({ order, missing: lines }: Data) => ({ order, lines });
const missed = ({ order, missing: lines }: Data) => ({ order, amount: priceOf(lines) });

export const Shop = Saga.make("shop", { version: 1, data: Data, deadline: "2 days" }).pipe(
  // Side by side; what comes next waits for both.
  Saga.parallel([
    Saga.step("reserve", {
      send: M.Reserve,
      with: ({ order, lines }) => ({ order, lines }),
      done: M.Reserved,
      failed: [Saga.failedBy(M.SoldOut, () => "soldOut")],
      undo: { send: M.Release, with: ({ order, lines }) => ({ order, lines }), done: M.Released },
    }),
    Saga.step("check-fraud", { send: M.CheckFraud, with: order, done: M.Harmless, undo: { none: "it changes nothing" } }),
  ]),
  // Only for large orders: a person has a day, and nobody's answer is an answer.
  Saga.signal("approval", { on: M.Approved, when: ({ lines }) => priceOf(lines) > 100_000, timeout: "1 day", otherwise: "undo" }),
  Saga.pivot("pay", {
    send: M.Pay,
    with: ({ order, lines, card }) => ({ order, amount: priceOf(lines), card }),
    done: M.Paid,
    failed: [Saga.failedBy(M.Declined, () => "declined")],
    undo: {
      send: M.Refund,
      with: ({ order, lines, missing }) => ({ order, amount: priceOf(lines) - priceOf(missing) }),
      done: M.Refunded,
      refused: M.RefundRefused,
    },
    timeout: "30 seconds",
    // No answer is no outcome: it is looked for, and sent again only if it never arrived.
    probe: { send: M.AskPayment, with: order, unseen: M.NoPayment },
    // A declined card undoes nothing yet: for an hour, another one is tried.
    retryOnSignal: { signal: M.CardChanged, onSignal: (data, { card }) => ({ ...data, card }), within: "1 hour" },
  }),
  Saga.retriable("pack", {
    send: M.Pack,
    with: ({ order, lines }) => ({ order, lines }),
    done: M.Packed,
    onDone: (data, { missing }) => ({ ...data, missing }),
    failed: [Saga.failedBy(M.CannotPack, () => "cannotPack")],
    otherwise: "undo",
  }),
  // By quantity: what is missing is given back and paid back, the rest goes on.
  Saga.parallel([
    Saga.retriable("release-missing", { send: M.Release, with: missing, done: M.Released, when: isShort }),
    Saga.retriable("refund-missing", { send: M.Refund, with: missed, done: M.Refunded, when: isShort }),
  ]),
);
