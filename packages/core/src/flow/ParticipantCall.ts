/** What a participant does for a command: the call, and the question what became of it. `Participant` decides when. */
import { Effect, Result } from "effect";
import type * as Attempt from "../domain/saga/Attempt.ts";
import type * as Message from "../domain/Message.ts";

/** It happened; of an undo: it is undone. */
export const done = <B>(type: Message.MessageType<B>, body: NoInfer<B>): Attempt.Outcome => outcomeOf(type, body, true);

/** It did not happen, and will not: the other side said so. Of an undo: it is refused for good. */
export const failed = <B>(type: Message.MessageType<B>, body: NoInfer<B>): Attempt.Outcome => outcomeOf(type, body, false);

const outcomeOf = <B>(type: Message.MessageType<B>, body: B, isDone: boolean): Attempt.Outcome => ({
  isDone,
  type: type.type,
  topic: type.topic,
  body: type.encode(body),
});

/** A failure, a defect, or no answer within the limit is no outcome. */
interface Does<B, E, R> {
  readonly perform: (body: B, key: string) => Effect.Effect<Attempt.Outcome, E, R>;
  /** What became of the call under this key; null: the other side has never seen it. */
  readonly probe: (body: B, key: string) => Effect.Effect<Attempt.Outcome | null, E, R>;
}

export interface CallOptions<B, U, E, R> extends Does<B, E, R> {
  readonly undo?: Does<U, E, R> & {
    readonly type: Message.MessageType<U>;
    /** The answer where nothing happened that could be undone. */
    readonly nothing: (body: U) => Attempt.Outcome;
  };
}

/** A step's command, and its undo's, as this participant does them. */
export interface Call<R = never> {
  readonly step: Command<R>;
  readonly undo: (Command<R> & { readonly nothing: (json: unknown) => Attempt.Outcome | null }) | null;
}

export interface Command<R> {
  readonly type: Message.AnyType;
  readonly encode: (envelope: Message.Envelope) => unknown;
  readonly perform: (json: unknown, key: string) => Effect.Effect<Attempt.Outcome, unknown, R>;
  readonly probe: (json: unknown, key: string) => Effect.Effect<Attempt.Outcome | null, unknown, R>;
}

export const call = <B, U, E, R>(type: Message.MessageType<B>, options: CallOptions<B, U, E, R>): Call<R> => {
  const { undo } = options;
  if (undo === undefined) return { step: commandOf(type, options), undo: null };
  const nothing = (json: unknown): Attempt.Outcome | null => {
    const body = undo.type.decode(json);
    return Result.isSuccess(body) ? undo.nothing(body.success) : null;
  };
  return { step: commandOf(type, options), undo: { ...commandOf(undo.type, undo), nothing } };
};

const commandOf = <B, E, R>(type: Message.MessageType<B>, does: Does<B, E, R>): Command<R> => {
  const within =
    <A>(make: (body: B, key: string) => Effect.Effect<A, E, R>) =>
    (json: unknown, key: string): Effect.Effect<A, unknown, R> => {
      const body = type.decode(json);
      return Result.isSuccess(body) ? make(body.success, key) : Effect.fail(body.failure);
    };
  return {
    type,
    encode: (envelope) => (type.is(envelope) ? type.encode(envelope.body) : null),
    perform: within(does.perform),
    probe: within(does.probe),
  };
};
