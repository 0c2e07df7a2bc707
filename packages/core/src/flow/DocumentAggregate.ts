/**
 * An aggregate for participants: any decider, its state as one document a key. What it cannot decide (a message of a type
 * that is not its own) changes nothing.
 */
import { Effect, Result, Schema } from "effect";
import { type Decider, fold } from "../domain/Decider.ts";
import type * as Message from "../domain/Message.ts";
import type { TimerRequest } from "../domain/saga/Coordinator.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { DocumentStore } from "../ports/DocumentStore.ts";
import type { Timer } from "../ports/Timers.ts";
import type { Aggregate, Input } from "./Aggregate.ts";

/** A state and the revision it was loaded with; 0: never saved. */
export interface Revised<St> {
  readonly revision: number;
  readonly state: St;
}

export interface Options<St, C, E, R> {
  /** Kind of document, consumer name and owner of the timers. */
  readonly name: string;
  readonly decider: Decider<St, C, E, R>;
  readonly schema: Schema.Codec<St, unknown>;
  /** Rejections as values: a request's answer is stored with its idempotency key. */
  readonly rejection: Schema.Codec<R, unknown>;
  /** The command that a message stands for; null if it is none of this aggregate's. */
  readonly fromMessage: (envelope: Message.Envelope, now: Timestamp) => C | null;
  readonly fromTimer: (timer: Timer, now: Timestamp) => C;
  /** What the world hears and which timers are set, given what happened. `state` is the one after it. */
  readonly react: (
    events: ReadonlyArray<E>,
    state: St,
    now: Timestamp,
  ) => { readonly drafts: ReadonlyArray<Message.Draft>; readonly timers: ReadonlyArray<TimerRequest> };
}

/** The answer to a request: what happened, or why not. */
export type Answer<R> = { readonly _tag: "Accepted" } | { readonly _tag: "Rejected"; readonly rejection: R } | { readonly _tag: "Ignored" };

export const make = <St, C, E, R>(
  options: Options<St, C, E, R>,
): Aggregate<Revised<St>, (now: Timestamp) => C, Answer<R>, DocumentStore> => {
  const { name, decider } = options;
  const json = Schema.toCodecJson(options.schema);
  const encode = Schema.encodeSync(json);
  const decode = Schema.decodeUnknownSync(json);
  const answerJson = Schema.toCodecJson(
    Schema.Union([
      Schema.TaggedStruct("Accepted", {}),
      Schema.TaggedStruct("Rejected", { rejection: options.rejection }),
      Schema.TaggedStruct("Ignored", {}),
    ]),
  );
  const initial: Revised<St> = { revision: 0, state: decider.initial };
  return {
    name,
    initial,
    load: Effect.fnUntraced(function* (keys) {
      const store = yield* DocumentStore;
      const found = yield* store.load(name, keys);
      return new Map([...found].map(([key, { revision, state }]) => [key, { revision, state: decode(state) }]));
    }),
    save: Effect.fnUntraced(function* (changes) {
      const store = yield* DocumentStore;
      yield* store.save(
        changes.map(({ key, before, after }) => ({ kind: name, id: key, revision: before.revision + 1, state: encode(after.state) })),
      );
    }),
    decide: (revised, input, now) => {
      const command = commandOf(options, input, now);
      if (command === null) return { state: revised, drafts: [], timers: [], answer: { _tag: "Ignored" } };
      const decided = decider.decide(revised.state, command);
      if (Result.isFailure(decided))
        return { state: revised, drafts: [], timers: [], answer: { _tag: "Rejected", rejection: decided.failure } };
      const state = fold(decider, decided.success, revised.state);
      const reaction = options.react(decided.success, state, now);
      return { state: decided.success.length === 0 ? revised : { ...revised, state }, ...reaction, answer: { _tag: "Accepted" } };
    },
    encodeAnswer: Schema.encodeSync(answerJson),
    decodeAnswer: Schema.decodeUnknownSync(answerJson),
  };
};

const commandOf = <St, C, E, R>(options: Options<St, C, E, R>, input: Input<(now: Timestamp) => C>, now: Timestamp): C | null => {
  switch (input._tag) {
    case "Request":
      return input.command(now);
    case "Message":
      return options.fromMessage(input.envelope, now);
    case "Timer":
      return options.fromTimer(input.timer, now);
  }
};
