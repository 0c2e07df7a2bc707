import { Effect, Exit, Layer, Schema } from "effect";
import { Message, MessageConsumer, Retention, StoredConsumer } from "@org/saga-core";

const Paid = Message.event("billing.paid.v1", Schema.Struct({ invoice: Schema.String }), {
  topic: "billing.events",
  key: (body) => body.invoice,
});

export const seen: Array<string> = [];

const options: StoredConsumer.Options<never> = {
  group: "accounts",
  catalogue: Message.catalogue([Paid]),
  types: [Paid],
  // Your mailbox's submitAll, or Responder.handle: its transaction admits through the inbox.
  handle: (envelopes) => Effect.sync(() => envelopes.map(({ key }) => (seen.push(key), Exit.succeed("booked")))),
};

// A: handled straight from the broker.
export const direct = MessageConsumer.layer(options);

// B: stored first; what fails is tried again in the background, 5 times, while its key waits.
export const stored = StoredConsumer.layer({ ...options, policy: "wait", attemptsMax: 5 });

// What fits each other: the inbox remembers for longer than a message can come again.
export const sweeper = Retention.layerWith({ inbox: "5 days", topic: "2 days", deadLetters: "2 days", retries: "12 hours" });

export const sent = (invoice: string): Message.Encoded =>
  Message.stamp(Paid.draft({ invoice }), {
    id: invoice,
    occurredAt: 0,
    correlationId: invoice,
    causationId: null,
    traceparent: null,
    tracestate: null,
  });

export const service = Layer.merge(stored, sweeper);
