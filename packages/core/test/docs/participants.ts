import { Effect, Schema } from "effect";
import { Message, Participant } from "@org/saga-core";

const Payment = Schema.Struct({ order: Schema.String, amount: Schema.Int });
const Order = Schema.Struct({ order: Schema.String });
const topic = { topic: "payment", key: ({ order }: { readonly order: string }) => order };

export const M = {
  Pay: Message.command("payment.pay.v1", Payment, topic),
  Paid: Message.event("payment.paid.v1", Order, topic),
  Declined: Message.event("payment.declined.v1", Order, topic),
  Refund: Message.command("payment.refund.v1", Order, topic),
  Refunded: Message.event("payment.refunded.v1", Order, topic),
};

// What a payment provider is like: it may be slow, fail, or do it without an answer.
export interface Provider {
  readonly charge: (key: string, amount: number) => Effect.Effect<"charged" | "declined", Error>;
  readonly refund: (key: string, charge: string) => Effect.Effect<void, Error>;
  // Null: it has never heard of it.
  readonly find: (key: string) => Effect.Effect<"charged" | "declined" | "refunded" | null, Error>;
}

export const payments = (provider: Provider) =>
  Participant.make({
    name: "payment",
    limit: "30 seconds",
    calls: [
      Participant.call(M.Pay, {
        perform: ({ order, amount }, key) => Effect.map(provider.charge(key, amount), (charge) => toldOf(order, charge)),
        probe: ({ order }, key) => Effect.map(provider.find(key), (found) => (found === null ? null : toldOf(order, found))),
        undo: {
          type: M.Refund,
          perform: ({ order }, key) => Effect.as(provider.refund(key, key.replace("/undo", "")), Participant.done(M.Refunded, { order })),
          probe: ({ order }, key) =>
            Effect.map(provider.find(key), (found) => (found === null ? null : Participant.done(M.Refunded, { order }))),
          nothing: ({ order }) => Participant.done(M.Refunded, { order }),
        },
      }),
    ],
  });

const toldOf = (order: string, charge: string) =>
  charge === "declined" ? Participant.failed(M.Declined, { order }) : Participant.done(M.Paid, { order });
