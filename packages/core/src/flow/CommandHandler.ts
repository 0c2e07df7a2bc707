/**
 * Decisions meet ports: a batch of inputs of one aggregate in one commit.
 *
 * inbox admits → idempotency keys are claimed → states are loaded and locked → decisions are folded in memory → states,
 * outbox, timers and answers are written, each with one call. Callers hear of it after the commit, so an answer is never
 * ahead of the database (G4, G6). Locks are taken in this order, and in key order within each.
 */
import { Effect, Metric } from "effect";
import * as Message from "../domain/Message.ts";
import type { TimerRequest } from "../domain/saga/Coordinator.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { type IdempotencyKey, IdempotencyKeys } from "../ports/IdempotencyKeys.ts";
import { Inbox } from "../ports/Inbox.ts";
import { Outbox } from "../ports/Outbox.ts";
import type { StoreError } from "../ports/StoreError.ts";
import { type Timer, type TimerKey, Timers } from "../ports/Timers.ts";
import { Transaction, UnitOfWork } from "../ports/UnitOfWork.ts";
import { type Aggregate, type Change, type Input, keyOf } from "./Aggregate.ts";
import * as MessageId from "./MessageId.ts";

export type Handled<A> =
  /** `repeated`: the answer of an earlier request with the same idempotency key. */
  | { readonly _tag: "Answered"; readonly answer: A; readonly repeated: boolean }
  /** A message that was handled before. */
  | { readonly _tag: "Duplicate" }
  /** The idempotency key was used for another request. */
  | { readonly _tag: "KeyReused" };

/** What a handler needs around an aggregate's own stores. */
export type Ports = UnitOfWork | Inbox | Outbox | Timers | IdempotencyKeys;

const handled = Metric.counter("saga_inputs_total", { description: "Inputs decided, by kind and outcome", incremental: true });

/** Runs a batch in one commit; one outcome per input, in order. It never retries: `Mailbox` does. */
export const runBatch = <S, C, A, R>(aggregate: Aggregate<S, C, A, R>) =>
  Effect.fnUntraced(function* (
    inputs: ReadonlyArray<Input<C>>,
  ): Effect.fn.Return<ReadonlyArray<Handled<A>>, StoreError, Ports | Exclude<R, Transaction>> {
    const unitOfWork = yield* UnitOfWork;
    const outcomes = yield* unitOfWork.commit(inTransaction(aggregate, inputs));
    const counts = new Map<string, { readonly attributes: Record<string, string>; count: number }>();
    for (const [index, input] of inputs.entries()) {
      const outcome = outcomes[index]?._tag ?? "none";
      const seen = counts.get(`${input._tag} ${outcome}`);
      if (seen === undefined)
        counts.set(`${input._tag} ${outcome}`, { attributes: { aggregate: aggregate.name, kind: input._tag, outcome }, count: 1 });
      else seen.count += 1;
    }
    for (const { attributes, count } of counts.values()) yield* Metric.update(Metric.withAttributes(handled, attributes), count);
    return outcomes;
  });

const inTransaction = Effect.fnUntraced(function* <S, C, A, R>(aggregate: Aggregate<S, C, A, R>, inputs: ReadonlyArray<Input<C>>) {
  const { now } = yield* Transaction;
  const outcomes: Array<Handled<A> | undefined> = inputs.map(() => undefined);
  const keys = [...new Set(inputs.map(keyOf))].toSorted();
  // Together, as the writes below, and in this order: a driver that pipelines sends them in one go, and the database runs and locks
  // in the order they were sent. States are loaded for repeated inputs, too, which are rare; they are not decided again.
  const [, repeats, before] = yield* Effect.all(
    [admitMessages(aggregate, inputs, outcomes), claimKeys(aggregate, inputs, outcomes), aggregate.load(keys)],
    { concurrency: "unbounded" },
  );

  const open = inputs.flatMap((input, index) => (outcomes[index] === undefined && !repeats.has(index) ? [{ input, index }] : []));
  const states = new Map<string, S>();
  const sent: Array<Sent> = [];
  const timers = new Map<string, { readonly key: string; readonly request: TimerRequest }>();
  for (const { input, index } of open) {
    const key = keyOf(input);
    const state = states.get(key) ?? before.get(key) ?? aggregate.initial;
    const decision = aggregate.decide(state, input, now);
    states.set(key, decision.state);
    if (decision.drafts.length > 0) sent.push({ cause: causeOf(input), drafts: decision.drafts });
    for (const request of decision.timers) timers.set(`${key}\n${request.name}`, { key, request });
    outcomes[index] = { _tag: "Answered", answer: decision.answer, repeated: false };
  }
  for (const [index, first] of repeats) {
    const outcome = outcomes[first];
    outcomes[index] = outcome?._tag === "Answered" ? { ...outcome, repeated: true } : outcome;
  }

  const changes = changesOf(aggregate, before, states);
  // Together: a driver that pipelines sends them in one go. Every lock they need is held, or is the insert of a new key.
  yield* Effect.all(
    [
      changes.length > 0 ? aggregate.save(changes) : Effect.void,
      sendAll(sent, now),
      keepTime(aggregate.name, [...timers.values()], inputs),
      recordAnswers(aggregate, inputs, outcomes, repeats),
    ],
    { concurrency: "unbounded", discard: true },
  );
  return outcomes.flatMap((outcome) => (outcome === undefined ? [] : [outcome]));
});

const admitMessages = Effect.fnUntraced(function* <S, C, A, R>(
  aggregate: Aggregate<S, C, A, R>,
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

/** A request with an idempotency key, and where it stands in its batch. */
interface Claim {
  readonly key: IdempotencyKey;
  readonly index: number;
}

const claimName = ({ key }: Claim): string => `${key.scope}\n${key.key}`;

/** Claims idempotency keys; returns the inputs that repeat an earlier one of this very batch, and which one. */
const claimKeys = Effect.fnUntraced(function* <S, C, A, R>(
  aggregate: Aggregate<S, C, A, R>,
  inputs: ReadonlyArray<Input<C>>,
  outcomes: Array<Handled<A> | undefined>,
) {
  const repeats = new Map<number, number>();
  let open = inputs.flatMap((input, index): ReadonlyArray<Claim> =>
    input._tag === "Request" && input.idempotency !== null ? [{ key: input.idempotency, index }] : [],
  );
  while (open.length > 0) {
    const idempotency = yield* IdempotencyKeys;
    const firsts = new Map<string, Claim>();
    for (const each of open) if (!firsts.has(claimName(each))) firsts.set(claimName(each), each);
    const claims = [...firsts.values()];
    const verdicts = yield* idempotency.claim(claims.map(({ key }) => key));
    const taken = new Set<string>();
    for (const [position, each] of claims.entries()) {
      const verdict = verdicts[position];
      if (verdict?._tag === "Repeated")
        outcomes[each.index] = { _tag: "Answered", answer: aggregate.decodeAnswer(verdict.answer), repeated: true };
      if (verdict?._tag !== "Mismatch") continue;
      outcomes[each.index] = { _tag: "KeyReused" };
      taken.add(claimName(each));
    }
    const others: Array<Claim> = [];
    for (const each of open) {
      const first = firsts.get(claimName(each));
      if (first === undefined || first === each) continue;
      if (first.key.fingerprint === each.key.fingerprint) repeats.set(each.index, first.index);
      // Another batch's request has the key, and this may be its repetition, whoever asked before it here.
      else if (taken.has(claimName(each))) others.push(each);
      else outcomes[each.index] = { _tag: "KeyReused" };
    }
    open = others;
  }
  return repeats;
});

interface Cause {
  readonly correlationId: string;
  readonly causationId: string | null;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

interface Sent {
  readonly cause: Cause;
  readonly drafts: ReadonlyArray<Message.Draft>;
}

const causeOf = <C>(input: Input<C>): Cause => {
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

const changesOf = <S, C, A, R>(
  aggregate: Aggregate<S, C, A, R>,
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

const keepTime = Effect.fnUntraced(function* <C>(
  owner: string,
  requests: ReadonlyArray<{ readonly key: string; readonly request: TimerRequest }>,
  inputs: ReadonlyArray<Input<C>>,
) {
  const schedule: Array<Timer> = [];
  const cancel: Array<TimerKey> = [];
  for (const { key, request } of requests) {
    if (request._tag === "Schedule") schedule.push({ owner, key, name: request.name, token: request.token, dueAt: request.at });
    else cancel.push({ owner, key, name: request.name });
  }
  const fired = inputs.flatMap((input) => {
    if (input._tag === "Timer") return [input.timer];
    return input._tag === "Request" && input.completes !== null ? [input.completes] : [];
  });
  if (schedule.length + cancel.length + fired.length === 0) return;
  const timers = yield* Timers;
  if (schedule.length > 0) yield* timers.schedule(schedule);
  if (cancel.length > 0) yield* timers.cancel(cancel);
  // After schedule: a firing that was scheduled anew has another token by now, and stays.
  if (fired.length > 0) yield* timers.complete(fired);
});

const recordAnswers = Effect.fnUntraced(function* <S, C, A, R>(
  aggregate: Aggregate<S, C, A, R>,
  inputs: ReadonlyArray<Input<C>>,
  outcomes: ReadonlyArray<Handled<A> | undefined>,
  repeats: ReadonlyMap<number, number>,
) {
  const answers = inputs.flatMap((input, index) => {
    const outcome = outcomes[index];
    if (input._tag !== "Request" || input.idempotency === null || repeats.has(index)) return [];
    if (outcome?._tag !== "Answered" || outcome.repeated) return [];
    return [{ key: input.idempotency, answer: aggregate.encodeAnswer(outcome.answer) }];
  });
  if (answers.length === 0) return;
  const idempotency = yield* IdempotencyKeys;
  yield* idempotency.record(answers);
});
