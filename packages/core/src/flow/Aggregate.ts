/**
 * An aggregate in the flow: how its states are loaded and saved in bulk, and the one pure function that decides.
 *
 * `CommandHandler` runs many of its inputs in one commit. Everything that can happen to an aggregate is an input: a
 * request (HTTP, another program), a message, a timer.
 */
import type { Effect } from "effect";
import type * as Message from "../domain/Message.ts";
import type { TimerRequest } from "../domain/saga/Coordinator.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { IdempotencyKey } from "../ports/IdempotencyKeys.ts";
import type { StoreError } from "../ports/StoreError.ts";
import type { Timer } from "../ports/Timers.ts";
import type { Transaction } from "../ports/UnitOfWork.ts";

export interface Request<C> {
  readonly _tag: "Request";
  readonly key: string;
  readonly command: C;
  /** The answer is recorded under it and repeated. */
  readonly idempotency: IdempotencyKey | null;
  /** A timer that this request answers for; it is removed in the same commit. */
  readonly completes: Timer | null;
  readonly traceparent: string | null;
}

export interface MessageInput {
  readonly _tag: "Message";
  readonly envelope: Message.Envelope;
}

export interface TimerInput {
  readonly _tag: "Timer";
  readonly timer: Timer;
}

export type Input<C> = Request<C> | MessageInput | TimerInput;

export interface Decision<S, A> {
  /** The same value as before if nothing changed: then nothing is saved. */
  readonly state: S;
  readonly drafts: ReadonlyArray<Message.Draft>;
  readonly timers: ReadonlyArray<TimerRequest>;
  readonly answer: A;
}

export interface Change<S> {
  readonly key: string;
  readonly before: S;
  readonly after: S;
}

/** What is kept of an aggregate, and how. */
export interface Stored<S, A, R = never> {
  /** Consumer name in the inbox and owner of the timers. */
  readonly name: string;
  /** The state of a key that no one has written yet. */
  readonly initial: S;
  /** States of `keys`, locked; absent if never saved. */
  readonly load: (keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, S>, StoreError, Transaction | R>;
  readonly save: (changes: ReadonlyArray<Change<S>>) => Effect.Effect<void, StoreError, Transaction | R>;
  /** An answer as a JSON value, for idempotency keys, and back. */
  readonly encodeAnswer: (answer: A) => unknown;
  readonly decodeAnswer: (json: unknown) => A;
}

export interface Aggregate<S, C, A, R = never> extends Stored<S, A, R> {
  /**
   * Inputs that begin an aggregate under a new key (an id that was made for it): nothing is loaded for them. If something is
   * there all the same, `save` loses the race, and then it is loaded.
   */
  readonly begins?: (input: Input<C>) => boolean;
  /** Pure. `now` is the database's. */
  readonly decide: (state: S, input: Input<C>, now: Timestamp) => Decision<S, A>;
}

export const keyOf = <C>(input: Input<C>): string => {
  switch (input._tag) {
    case "Request":
      return input.key;
    case "Message":
      return input.envelope.key;
    case "Timer":
      return input.timer.key;
  }
};

/** A request without idempotency key, timer or trace. */
export const request = <C>(key: string, command: C, options: Partial<Omit<Request<C>, "_tag" | "key" | "command">> = {}): Request<C> => ({
  _tag: "Request",
  key,
  command,
  idempotency: options.idempotency ?? null,
  completes: options.completes ?? null,
  traceparent: options.traceparent ?? null,
});
