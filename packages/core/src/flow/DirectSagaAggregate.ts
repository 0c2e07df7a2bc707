/**
 * The instances of a `DirectSaga` as an aggregate: what is decided, what is to be called after the commit, and, of an instance
 * that this process follows, what it wrote last, so that it need not be read (invariant 7 there).
 */
import { Effect, Schema } from "effect";
import type * as Message from "../domain/Message.ts";
import type { TimerRequest } from "../domain/saga/Coordinator.ts";
import type * as SagaDecider from "../domain/saga/SagaDecider.ts";
import * as SagaInstance from "../domain/saga/SagaInstance.ts";
import * as SagaVersions from "../domain/saga/SagaVersions.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { SagaStore } from "../ports/SagaStore.ts";
import type * as Aggregate from "./Aggregate.ts";
import * as Batch from "./Batch.ts";
import * as DirectSagaPart from "./DirectSagaPart.ts";

/** What a decision asks this process to do after its commit. */
export interface Ask extends DirectSagaPart.Part {
  readonly draft: Message.Draft;
  /** What its function is given: the step's key, and `/undo` behind it for an undo, which is another call than what it undoes. */
  readonly key: string;
  readonly timeoutMillis: number;
}

export interface Answer {
  readonly status: SagaDecider.Status;
  /** Several, of steps that run side by side. */
  readonly asks: ReadonlyArray<Ask>;
  readonly instance: Pinned | null;
}

type Pinned = SagaVersions.Pinned<never>;

/** An input whose time is stamped in its transaction. */
export type Command<D> = (now: Timestamp) => SagaDecider.Input<D>;

export interface State {
  readonly instance: Pinned | null;
  /** 0: never saved. */
  readonly revision: number;
  /** Not read: what this process wrote last. */
  readonly isGuess: boolean;
}

const NOTHING = { instance: null, revision: 0, isGuess: false };

/** What this process knows of an instance while it follows it. */
export interface Thread {
  /** What the next decision need not read; taken once: a second attempt reads. */
  guess: State | null;
  /** In an attempt that may yet be rolled back. */
  written: State | null;
}

export type Followed = Map<string, Thread>;

/** Instances behind the ports, each in its version. */
export const make = <D>(
  versions: SagaVersions.Versions<D, never>,
  isPerformedHere: (type: string) => boolean,
  followed: Followed,
): Aggregate.Aggregate<State, Command<D>, Answer, SagaStore> => {
  const definition = versions.newest;
  return {
    name: definition.name,
    initial: NOTHING,
    begins: (input) => input._tag === "Request" && input.command(0)._tag === "Start",
    load: Effect.fnUntraced(function* (keys) {
      const states = new Map<string, State>();
      for (const key of keys) {
        const thread = followed.get(key);
        if (thread === undefined || thread.guess === null) continue;
        // A step beside it has moved the instance on since.
        if (thread.written !== null && thread.written !== thread.guess) continue;
        states.set(key, thread.guess);
        thread.guess = null;
      }
      if (states.size === keys.length) return states;
      const sagas = yield* SagaStore;
      const found = yield* sagas.load(
        definition.name,
        keys.filter((key) => !states.has(key)),
      );
      for (const [id, { version, revision, state }] of found) {
        const instance = SagaVersions.load(versions, version, state);
        if (instance === null) return yield* Effect.die(Batch.leftAlone(definition.name, `the instance "${id}"`, version));
        states.set(id, { instance, revision, isGuess: false });
      }
      return states;
    }),
    save: Effect.fnUntraced(function* (changes) {
      const sagas = yield* SagaStore;
      yield* sagas.save(
        changes.flatMap(({ key, before, after: { instance } }) => {
          if (instance === null) return [];
          const thread = followed.get(key);
          const revision = before.revision + 1;
          if (thread !== undefined) thread.written = { instance, revision, isGuess: true };
          const { saga, version, status } = instance.instance;
          return [{ saga, version, id: key, status, revision, state: instance.encode() }];
        }),
      );
    }),
    decide: (state, input, now) => {
      if (input._tag === "Message") SagaInstance.expectKnown(definition, state.instance?.instance ?? null, input.envelope);
      const [instance, sends] = moved(versions, state.instance, inputOf(input, now));
      const drafts: Array<Message.Draft> = [];
      const timers: Array<TimerRequest> = [];
      const asks: Array<Ask> = [];
      for (const send of sends) {
        if (send._tag === "Message" && instance !== null && isPerformedHere(send.draft.type)) {
          asks.push(askOf(DirectSagaPart.of(versions.known, instance, send.draft), send.draft, send.answerBy - now));
        } else if (send._tag === "Message") drafts.push(send.draft);
        else if (send._tag !== "Local") timers.push(send);
      }
      const answer = { status: instance?.instance.status ?? "running", asks, instance };
      // What was decided upon a guess is written, changed or not: only then it is known to be right.
      const isSame = instance === state.instance && !state.isGuess;
      return { state: isSame ? state : { ...state, instance, isGuess: false }, drafts, timers, answer };
    },
    // Requests here have no idempotency key: the instance's id is one.
    encodeAnswer: ({ status }) => status,
    decodeAnswer: (status) => ({ status: decodeStatus(status), asks: [], instance: null }),
  };
};

const askOf = (part: DirectSagaPart.Part, draft: Message.Draft, timeoutMillis: number): Ask => {
  const stepKey = draft.stepKey ?? "";
  return { ...part, draft, key: part.isUndo ? `${stepKey}/undo` : stepKey, timeoutMillis };
};

const moved = <D>(
  versions: SagaVersions.Versions<D, never>,
  instance: Pinned | null,
  input: SagaDecider.Input<D>,
): readonly [Pinned | null, ReadonlyArray<SagaDecider.Send<never>>] => {
  if (input._tag === "Start") return instance === null ? versions.start(input) : [instance, []];
  return instance === null ? [null, []] : instance.move(input);
};

const decodeStatus = Schema.decodeUnknownSync(SagaInstance.Status);

const inputOf = <D>(input: Aggregate.Input<Command<D>>, now: Timestamp): SagaDecider.Input<D> => {
  switch (input._tag) {
    case "Request":
      return input.command(now);
    case "Message":
      return { _tag: "Reply", envelope: input.envelope, now };
    case "Timer":
      return { _tag: "Timer", name: input.timer.name, token: input.timer.token, now };
  }
};
