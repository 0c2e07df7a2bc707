/**
 * Decisions meet ports: a batch of inputs of one aggregate in one commit.
 *
 * inbox admits → idempotency keys are claimed → states are loaded and locked → decisions are folded in memory → states,
 * outbox, timers and answers are written, each with one call. Callers hear of it after the commit, so an answer is never
 * ahead of the database (G4, G6). Locks are taken in this order, and in key order within each.
 */
import { Effect, Metric } from "effect";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { IdempotencyKeys } from "../ports/IdempotencyKeys.ts";
import { Inbox } from "../ports/Inbox.ts";
import type { Outbox } from "../ports/Outbox.ts";
import { StoreError } from "../ports/StoreError.ts";
import type { Timers } from "../ports/Timers.ts";
import { Transaction, UnitOfWork } from "../ports/UnitOfWork.ts";
import { type Aggregate, type Change, type Decision, type Input, type Stored, keyOf } from "./Aggregate.ts";
import * as BatchTimers from "./BatchTimers.ts";
import * as IdempotencyClaims from "./IdempotencyClaims.ts";
import { type Sent, causeOf, sendAll } from "./Sending.ts";

export { causedBy, sendAll } from "./Sending.ts";

export type Handled<A> =
  /** `repeated`: the answer of an earlier request with the same idempotency key. */
  | { readonly _tag: "Answered"; readonly answer: A; readonly repeated: boolean }
  /** A message that was handled before. */
  | { readonly _tag: "Duplicate" }
  /** The idempotency key was used for another request. */
  | { readonly _tag: "KeyReused" }
  /** The first request with this idempotency key is not decided yet, somewhere else: nothing was done. Ask again. */
  | { readonly _tag: "InFlight" };

/** What a handler needs around an aggregate's own stores. */
export type Ports = UnitOfWork | Inbox | Outbox | Timers | IdempotencyKeys;

const handled = Metric.counter("saga_inputs_total", { description: "Inputs decided, by kind and outcome", incremental: true });

/** An input that was decided and changed its aggregate. */
export interface Accepted<S, C, A> {
  readonly key: string;
  readonly input: Input<C>;
  /** The state that the input met: with what earlier inputs of the batch made of it. */
  readonly before: S;
  readonly after: S;
  readonly answer: A;
}

export interface Projection<S, C, A, P> {
  /**
   * Writes of the user's own, in the transaction of the batch.
   *
   * - Called once an attempt, after everything else was written, with every input whose decision returned another state than
   *   it was given, in their order. Not with refused, repeated or ignored ones; not at all if there is none.
   * - Database only, and rerunnable: an attempt may be rolled back and run again, with the same inputs or with half of them.
   * - A failure rolls back the batch. `Refused` and defects are some item's fault: `Mailbox` splits until it stands alone.
   */
  readonly project: (accepted: ReadonlyArray<Accepted<S, C, A>>) => Effect.Effect<unknown, StoreError, P>;
}

/** What does not need the transaction would not be rolled back with it, so it is no projection: it does not compile. */
export type UsesTransaction<P> = Transaction extends P ? unknown : { readonly project: "has to write in the Transaction" };

/**
 * Runs a batch in one commit; one outcome per input, in order. It never retries: `Mailbox` does.
 *
 *     CommandHandler.runBatch(aggregate)
 *     CommandHandler.runBatch(aggregate, { project: (accepted) => … })
 */
export const runBatch = <S, C, A, R, P = Transaction>(
  aggregate: Aggregate<S, C, A, R>,
  projection?: Projection<S, C, A, P> & UsesTransaction<P>,
) => {
  /** Inputs that were run without what is stored under their key. Run again, they lost a race. */
  const guessed = new WeakSet<Input<C>>();
  const isGuess = (input: Input<C>): boolean => {
    if (aggregate.begins?.(input) !== true || guessed.has(input)) return false;
    guessed.add(input);
    return true;
  };
  return Effect.fnUntraced(function* (
    inputs: ReadonlyArray<Input<C>>,
  ): Effect.fn.Return<ReadonlyArray<Handled<A>>, StoreError, Ports | Exclude<R | P, Transaction>> {
    const unitOfWork = yield* UnitOfWork;
    const outcomes = yield* unitOfWork.commit(decideAll(aggregate, inputs, isGuess, projection));
    yield* count(aggregate.name, inputs, outcomes);
    return outcomes;
  });
};

/**
 * Runs a batch in a transaction that is there already, beside the caller's own writes. The caller commits; after a `Contention`
 * all of it is to be run again.
 */
export const runWithin =
  <S, C, A, R>(aggregate: Aggregate<S, C, A, R>) =>
  (inputs: ReadonlyArray<Input<C>>) =>
    decideAll<S, C, A, R, never>(aggregate, inputs, () => false, undefined);

/**
 * Runs one input in a commit of its own, for a decision that needs SQL of its own: the state is loaded and locked, `decide`
 * may read and write in the same transaction, and what it decides is saved as in a batch: with inbox, idempotency key,
 * outbox and timers. Slower than `runBatch` by the batch: use it for what cannot be decided from the state alone.
 *
 * - A refusal that is to be remembered (repeated under the idempotency key) is an answer, and what `decide` wrote before is
 *   committed with it: decide first, then write.
 * - A failure of `decide` rolls everything back, and nothing is remembered. One that is no `StoreError` is the caller's own.
 * - It may run again: nothing but the database may be touched.
 *
 * The `run` of a `Mailbox` with `batchMax: 1`; more inputs at a time are `Misuse`.
 */
export const runAlone = <S, C, A, R, E, D>(
  stored: Stored<S, A, R>,
  decide: (state: S, input: Input<C>, now: Timestamp) => Effect.Effect<Decision<S, A>, E, D>,
) =>
  Effect.fnUntraced(function* (
    inputs: ReadonlyArray<Input<C>>,
  ): Effect.fn.Return<ReadonlyArray<Handled<A>>, StoreError | E, Ports | Exclude<R | D, Transaction>> {
    if (inputs.length > 1) {
      const message = `${stored.name} decides one input at a time: its mailbox needs batchMax: 1`;
      return yield* new StoreError({ reason: "Misuse", operation: "CommandHandler.runAlone", message });
    }
    const unitOfWork = yield* UnitOfWork;
    const outcomes = yield* unitOfWork.commit(decideAlone(stored, inputs, decide));
    yield* count(stored.name, inputs, outcomes);
    return outcomes;
  });

const count = Effect.fnUntraced(function* <C, A>(aggregate: string, inputs: ReadonlyArray<Input<C>>, outcomes: ReadonlyArray<Handled<A>>) {
  const counts = new Map<string, { readonly attributes: Record<string, string>; count: number }>();
  for (const [index, input] of inputs.entries()) {
    const outcome = outcomes[index]?._tag ?? "none";
    const seen = counts.get(`${input._tag} ${outcome}`);
    if (seen === undefined) counts.set(`${input._tag} ${outcome}`, { attributes: { aggregate, kind: input._tag, outcome }, count: 1 });
    else seen.count += 1;
  }
  for (const { attributes, count } of counts.values()) yield* Metric.update(Metric.withAttributes(handled, attributes), count);
});

const decideAll = Effect.fnUntraced(function* <S, C, A, R, P>(
  aggregate: Aggregate<S, C, A, R>,
  inputs: ReadonlyArray<Input<C>>,
  isGuess: (input: Input<C>) => boolean,
  projection: Projection<S, C, A, P> | undefined,
) {
  const { now } = yield* Transaction;
  const work = yield* begin(aggregate, inputs, isGuess);
  for (const each of work.open) take(work, each, aggregate.decide(work.stateOf(keyOf(each.input)), each.input, now));
  yield* write(aggregate, inputs, work, now);
  if (projection !== undefined && work.accepted.length > 0) yield* projection.project(work.accepted);
  return work.outcomes.flatMap((outcome) => (outcome === undefined ? [] : [outcome]));
});

const decideAlone = Effect.fnUntraced(function* <S, C, A, R, E, D>(
  stored: Stored<S, A, R>,
  inputs: ReadonlyArray<Input<C>>,
  decide: (state: S, input: Input<C>, now: Timestamp) => Effect.Effect<Decision<S, A>, E, D>,
) {
  const { now } = yield* Transaction;
  const work = yield* begin(stored, inputs, () => false);
  for (const each of work.open) take(work, each, yield* decide(work.stateOf(keyOf(each.input)), each.input, now));
  yield* write(stored, inputs, work, now);
  return work.outcomes.flatMap((outcome) => (outcome === undefined ? [] : [outcome]));
});

interface Open<C> {
  readonly input: Input<C>;
  readonly index: number;
}

/** A batch while it is decided. */
interface Work<S, C, A> {
  readonly outcomes: Array<Handled<A> | undefined>;
  /** Inputs that repeat an earlier one of this very batch, and which one. */
  readonly repeats: ReadonlyMap<number, number>;
  /** Inputs to decide. */
  readonly open: ReadonlyArray<Open<C>>;
  readonly before: ReadonlyMap<string, S>;
  readonly states: Map<string, S>;
  readonly stateOf: (key: string) => S;
  readonly sent: Array<Sent>;
  readonly timers: Map<string, BatchTimers.Requested>;
  readonly accepted: Array<Accepted<S, C, A>>;
}

const begin = Effect.fnUntraced(function* <S, C, A, R>(
  stored: Stored<S, A, R>,
  inputs: ReadonlyArray<Input<C>>,
  isGuess: (input: Input<C>) => boolean,
) {
  const outcomes: Array<Handled<A> | undefined> = inputs.map(() => undefined);
  // Together, as the writes below, and in this order: a driver that pipelines sends them in one go, and the database runs and locks
  // in the order they were sent.
  const [, { settled, repeats }] = yield* Effect.all([admitMessages(stored, inputs, outcomes), IdempotencyClaims.claim(stored, inputs)], {
    concurrency: "unbounded",
  });
  for (const [index, outcome] of settled) outcomes[index] = outcome;
  const open = inputs.flatMap((input, index) => (outcomes[index] === undefined && !repeats.has(index) ? [{ input, index }] : []));
  // Not before: whoever is in flight elsewhere holds the lock of its state, and its repetition waits for nobody.
  const keys = [...new Set(open.flatMap(({ input }) => (isGuess(input) ? [] : [keyOf(input)])))].toSorted();
  const before = keys.length === 0 ? new Map<string, S>() : yield* stored.load(keys);
  const states = new Map<string, S>();
  const stateOf = (key: string): S => states.get(key) ?? before.get(key) ?? stored.initial;
  const work: Work<S, C, A> = { outcomes, repeats, open, before, states, stateOf, sent: [], timers: new Map(), accepted: [] };
  return work;
});

const take = <S, C, A>(work: Work<S, C, A>, { input, index }: Open<C>, decision: Decision<S, A>): void => {
  const { drafts, timers, answer, state: after } = decision;
  const key = keyOf(input);
  const before = work.stateOf(key);
  work.states.set(key, after);
  if (drafts.length > 0) work.sent.push({ cause: causeOf(input), drafts });
  for (const request of timers) work.timers.set(`${key}\n${request.name}`, { key, request });
  if (after !== before) work.accepted.push({ key, input, before, after, answer });
  work.outcomes[index] = { _tag: "Answered", answer, repeated: false };
};

const write = Effect.fnUntraced(function* <S, C, A, R>(
  stored: Stored<S, A, R>,
  inputs: ReadonlyArray<Input<C>>,
  { outcomes, repeats, before, states, sent, timers }: Work<S, C, A>,
  now: Timestamp,
) {
  for (const [index, first] of repeats) {
    const outcome = outcomes[first];
    outcomes[index] = outcome?._tag === "Answered" ? { ...outcome, repeated: true } : outcome;
  }
  const changes = changesOf(stored, before, states);
  // Together: a driver that pipelines sends them in one go. Every lock they need is held, or is the insert of a new key.
  yield* Effect.all(
    [
      changes.length > 0 ? stored.save(changes) : Effect.void,
      sendAll(sent, now),
      BatchTimers.keep(stored.name, [...timers.values()], inputs),
      IdempotencyClaims.record(answersOf(stored, inputs, outcomes, repeats)),
    ],
    { concurrency: "unbounded", discard: true },
  );
});

const admitMessages = Effect.fnUntraced(function* <S, C, A, R>(
  aggregate: Stored<S, A, R>,
  inputs: ReadonlyArray<Input<C>>,
  outcomes: Array<Handled<A> | undefined>,
) {
  const messages = inputs.flatMap((input, index) => (input._tag === "Message" ? [{ id: input.envelope.id, index }] : []));
  if (messages.length === 0) return;
  const inbox = yield* Inbox;
  const verdicts = yield* inbox.admit(
    aggregate.name,
    messages.map(({ id }) => id),
  );
  for (const [position, { index }] of messages.entries()) {
    if (verdicts[position] === "Duplicate") outcomes[index] = { _tag: "Duplicate" };
  }
});

const changesOf = <S, A, R>(
  aggregate: Stored<S, A, R>,
  before: ReadonlyMap<string, S>,
  after: ReadonlyMap<string, S>,
): ReadonlyArray<Change<S>> => {
  const changes: Array<Change<S>> = [];
  for (const [key, state] of after) {
    const old = before.get(key) ?? aggregate.initial;
    if (old !== state) changes.push({ key, before: old, after: state });
  }
  return changes;
};

/** What this batch decided under an idempotency key. */
const answersOf = <S, C, A, R>(
  stored: Stored<S, A, R>,
  inputs: ReadonlyArray<Input<C>>,
  outcomes: ReadonlyArray<Handled<A> | undefined>,
  repeats: ReadonlyMap<number, number>,
): ReadonlyArray<IdempotencyClaims.Recorded> =>
  inputs.flatMap((input, index) => {
    const outcome = outcomes[index];
    if (input._tag !== "Request" || input.idempotency === null || repeats.has(index)) return [];
    if (outcome?._tag !== "Answered" || outcome.repeated) return [];
    return [{ key: input.idempotency, answer: stored.encodeAnswer(outcome.answer) }];
  });
