/** What a decision sends: drafts get their identity and their cause, and go to the outbox. */
import { Effect } from "effect";
import * as Message from "../domain/Message.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { Outbox } from "../ports/Outbox.ts";
import type { Input } from "./Aggregate.ts";
import * as MessageId from "./MessageId.ts";

/** Where a message comes from. */
export interface Cause {
  readonly correlationId: string;
  readonly causationId: string | null;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

export interface Sent {
  readonly cause: Cause;
  readonly drafts: ReadonlyArray<Message.Draft>;
}

export const causeOf = <C>(input: Input<C>): Cause => {
  switch (input._tag) {
    case "Message": {
      const { id, correlationId, traceparent, tracestate } = input.envelope;
      return { correlationId, causationId: id, traceparent, tracestate };
    }
    case "Request":
      return { correlationId: input.key, causationId: null, traceparent: input.traceparent, tracestate: null };
    case "Timer":
      return { correlationId: input.timer.key, causationId: null, traceparent: null, tracestate: null };
  }
};

/** Gives drafts their identity and appends them, in order. */
export const sendAll = Effect.fnUntraced(function* (sent: ReadonlyArray<Sent>, now: Timestamp) {
  const count = sent.reduce((sum, { drafts }) => sum + drafts.length, 0);
  if (count === 0) return;
  const ids = (yield* MessageId.next(count)).values();
  const outbox = yield* Outbox;
  yield* outbox.append(
    sent.flatMap(({ cause, drafts }) =>
      drafts.map((draft) => Message.stamp(draft, { ...cause, id: ids.next().value ?? "", occurredAt: now })),
    ),
  );
});

/** The cause of what follows from a message. */
export const causedBy = (envelope: Message.Envelope): Cause => causeOf({ _tag: "Message", envelope });
