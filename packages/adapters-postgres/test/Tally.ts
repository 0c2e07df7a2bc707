/**
 * The smallest aggregate whose books can be audited: it counts, and announces each count with its serial number. One
 * announcement too few, too many or out of order shows as a gap.
 */
import { Aggregate, CommandHandler, type Decider, DocumentAggregate, Message } from "@org/saga-core";
import { Result, Schema } from "effect";

export const KIND = "tally";

export interface Count {
  readonly _tag: "Count";
  readonly key: string;
  /** Of this command; nobody else's. */
  readonly id: string;
}

interface Counted {
  readonly key: string;
  readonly id: string;
}

const decider: Decider.Decider<number, Count, Counted, never> = {
  initial: 0,
  decide: (_, { key, id }) => Result.succeed([{ key, id }]),
  evolve: (count) => count + 1,
};

export const Announced = Message.event("tally.counted.v1", Schema.Struct({ key: Schema.String, id: Schema.String, serial: Schema.Int }), {
  topic: "tally.events",
  key: ({ key }) => key,
});

export type Input = Aggregate.Input<(now: number) => Count>;
export type Handled = CommandHandler.Handled<DocumentAggregate.Answer<never>>;

export const run = CommandHandler.runBatch(
  DocumentAggregate.make({
    name: KIND,
    decider,
    schema: Schema.Int,
    rejection: Schema.Never,
    fromMessage: () => null,
    fromTimer: ({ key }): Count => ({ _tag: "Count", key, id: "timer" }),
    react: (events, serial) => ({ drafts: events.map(({ key, id }) => Announced.draft({ key, id, serial })), timers: [] }),
  }),
);

/** `isRepeatable`: under its id as idempotency key, so that it may be sent again. */
export const count = (key: string, id: string, isRepeatable: boolean): Input =>
  Aggregate.request<(now: number) => Count>(key, () => ({ _tag: "Count", key, id }), {
    idempotency: isRepeatable ? { scope: KIND, key: id, fingerprint: id } : null,
  });
