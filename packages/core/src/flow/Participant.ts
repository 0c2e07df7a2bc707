/**
 * A participant whose steps are calls to somebody outside (a payment provider, a carrier), which can be slow, away, or done without
 * anybody here hearing of it.
 *
 *     const Payments = Participant.make({ name: "payment", calls: [
 *       Participant.call(Charge, {
 *         perform: ({ id, amount }, key) => Effect.map(provider.charge(amount, key), () => Participant.done(Charged, { id })),
 *         probe: ({ id }, key) => Effect.map(provider.find(key), (found) => found && Participant.done(Charged, { id })),
 *         undo: { type: Refund, perform: …, probe: …, nothing: ({ id }) => Participant.done(Refunded, { id }) },
 *       }) ] })
 *
 * - The attempt is committed before the call, its outcome after it, with the reply. A crash, a time limit or an error in between
 *   leads to `probe`, never to a second call, until the other side says that it never saw the first (`Attempt`).
 * - A call is made by the timer of its attempt, in whatever process has it: `handle` only records.
 * - At most `callsMax` calls are under way in a process, each for at most `limit`. After `failuresMax` without an outcome in a row
 *   the calls of this process wait (circuit breaker); one is let through after a while, and ends the waiting if it brings one.
 *
 * It cannot keep a process that was frozen for longer than `limit` and `settlesWithin` between its last look at the clock and the
 * call from calling then. Give the key to the other side: it is the same for every call of a step.
 */
import { Clock, Duration, Effect, type Layer, Metric, Schema, Semaphore, type Exit, type Scope } from "effect";
import * as Attempt from "../domain/saga/Attempt.ts";
import type { TimerRequest } from "../domain/saga/Coordinator.ts";
import type * as Message from "../domain/Message.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { DocumentStore } from "../ports/DocumentStore.ts";
import { describeCause, type StoreError } from "../ports/StoreError.ts";
import type { Timer, Timers } from "../ports/Timers.ts";
import * as Aggregate from "./Aggregate.ts";
import * as CircuitBreaker from "./CircuitBreaker.ts";
import * as CommandHandler from "./CommandHandler.ts";
import * as Elapsed from "./Elapsed.ts";
import * as Mailbox from "./Mailbox.ts";
import type { Call, Command } from "./ParticipantCall.ts";
import * as TimerPump from "./TimerPump.ts";

export { call, done, failed, type Call, type CallOptions } from "./ParticipantCall.ts";

/** How long a call may take, in milliseconds: the longest that providers of payments ask for. */
export const LIMIT_MS = 30_000;

/** What a call's process may need to record its outcome, in milliseconds, before it counts as dead. */
export const LEASE_MARGIN_MS = 5_000;

/** How long after its end a call may still take effect at the other side, in milliseconds: a request that was queued on the way. */
export const SETTLES_WITHIN_MS = 60_000;

/** First and longest pause before the other side is asked again, in milliseconds. */
export const RETRY_MS = { first: 500, max: 10_000 };

/** Calls under way in a process: sockets that one provider has for us. */
export const CALLS_MAX = 32;

/** Calls in a row without an outcome, before the others wait. */
export const FAILURES_MAX = 10;

/** How long they wait, in milliseconds. */
export const OPEN_MS = 5_000;

export interface Options<R> {
  /** Kind of the documents, consumer name and owner of the timers. */
  readonly name: string;
  readonly calls: ReadonlyArray<Call<R>>;
  readonly limit?: Duration.Input;
  readonly settlesWithin?: Duration.Input;
  readonly retry?: { readonly first: Duration.Input; readonly max: Duration.Input };
  readonly callsMax?: number;
  readonly failuresMax?: number;
  readonly openFor?: Duration.Input;
}

export interface Participant {
  /** What a `MessageConsumer` has to read. */
  readonly types: ReadonlyArray<Message.AnyType>;
  /** For `MessageConsumer`: records what is asked, and answers what is known. */
  readonly handle: (envelopes: ReadonlyArray<Message.Envelope>) => Effect.Effect<ReadonlyArray<Exit.Exit<unknown, Mailbox.Failure>>>;
  /** Makes the calls of these timers; ends when all of them have a place, not when they are answered. */
  readonly onTimers: (timers: ReadonlyArray<Timer>) => Effect.Effect<void, StoreError>;
  /** Pumps them. */
  readonly worker: Layer.Layer<never, never, Timers>;
}

const calls = Metric.counter("saga_participant_calls_total", {
  description: "Calls to the outside, by what they brought",
  incremental: true,
});

/** By both clocks: the time of day may be set back, and the other one rests with a machine that is suspended. */
const moment = Effect.all({ wall: Clock.currentTimeMillis, elapsed: Elapsed.now });
type Moment = Effect.Success<typeof moment>;

/** A participant and its mailbox. Calls run in the background, to the end of the scope. */
export const make = Effect.fnUntraced(function* <R>(
  options: Options<R>,
): Effect.fn.Return<Participant, never, R | CommandHandler.Ports | DocumentStore | Scope.Scope> {
  const { name } = options;
  const limit = Duration.toMillis(options.limit ?? LIMIT_MS);
  const policy = policyOf(options, limit);
  const commands = commandsOf(options);
  const scope = yield* Effect.scope;
  const services = yield* Effect.context<R>();
  const permits = yield* Semaphore.make(options.callsMax ?? CALLS_MAX);
  const breaker = CircuitBreaker.make(options.failuresMax ?? FAILURES_MAX, Duration.toMillis(options.openFor ?? OPEN_MS));
  const mailbox = yield* Mailbox.make<Input, CommandHandler.Handled<Due | null>, CommandHandler.Ports | DocumentStore>({
    name,
    key: Aggregate.keyOf,
    run: CommandHandler.runBatch(aggregateOf(name, commands, policy)),
  });

  /** Calls, unless it is too late for that: then whoever has the timer now probes. */
  const found = Effect.fnUntraced(function* ({ part, how, asked, stepKey }: Due, since: Moment): Effect.fn.Return<Attempt.Finding> {
    const command = commands.get(asked.type);
    const now = yield* moment;
    if (command === undefined || now.wall - since.wall >= limit || now.elapsed - since.elapsed >= limit) return { _tag: "Unknown" };
    const key = part === "step" ? stepKey : `${stepKey}/undo`;
    const made: Effect.Effect<Attempt.Outcome | null, unknown, R> = Effect.suspend(() => command[how](asked.body, key));
    return yield* made.pipe(
      Effect.timeout(Duration.millis(limit)),
      Effect.provideContext(services),
      Effect.map((outcome): Attempt.Finding => (outcome === null ? { _tag: "NotFound" } : { _tag: "Known", outcome })),
      Effect.catchCause((cause) =>
        Effect.as(Effect.logWarning(`${name}: ${how} of ${key} gave no outcome; it is probed: ${describeCause(cause)}`), UNKNOWN),
      ),
    );
  });

  /** The timer of an attempt: records the call, makes it, records what it brought. */
  const work = Effect.fnUntraced(function* (timer: Timer) {
    const since = yield* moment;
    const handled = yield* mailbox.submit({ _tag: "Timer", timer });
    if (handled._tag !== "Answered" || handled.answer === null) return;
    const due = handled.answer;
    const finding = yield* found(due, since);
    yield* breaker.told(finding._tag !== "Unknown");
    yield* Metric.update(Metric.withAttributes(calls, { participant: name, how: due.how, finding: finding._tag }), 1);
    yield* mailbox.submit(Aggregate.request(timer.key, { due, finding }));
  });

  const begin = (timer: Timer) =>
    work(timer).pipe(
      Effect.catchCause((cause) =>
        Effect.logWarning(`${name}: ${timer.name} of ${timer.key}; its timer comes again: ${describeCause(cause)}`),
      ),
      Effect.ensuring(permits.release(1)),
      Effect.forkIn(scope),
    );
  const onTimers = (timers: ReadonlyArray<Timer>) =>
    Effect.forEach(
      timers,
      (timer) =>
        Effect.uninterruptibleMask((restore) => restore(Effect.andThen(breaker.pass, permits.take(1))).pipe(Effect.andThen(begin(timer)))),
      { discard: true },
    );

  return {
    types: [...commands.values()].map(({ type }) => type),
    handle: (envelopes) => mailbox.submitAll(envelopes.map((envelope) => ({ _tag: "Message", envelope }))),
    onTimers,
    worker: TimerPump.layer(name, onTimers),
  };
});

const UNKNOWN: Attempt.Finding = { _tag: "Unknown" };

const policyOf = <R>({ settlesWithin, retry }: Options<R>, limit: number): Attempt.Policy => ({
  leaseMillis: limit + LEASE_MARGIN_MS,
  settlesWithinMillis: Duration.toMillis(settlesWithin ?? SETTLES_WITHIN_MS),
  retryMillis: { first: Duration.toMillis(retry?.first ?? RETRY_MS.first), max: Duration.toMillis(retry?.max ?? RETRY_MS.max) },
});

type Known<R> = Command<R> & { readonly part: Attempt.Part; readonly nothing: (json: unknown) => Attempt.Outcome | null };

/** By message type. */
const commandsOf = <R>({ name, calls: all }: Options<R>): ReadonlyMap<string, Known<R>> => {
  const commands = new Map<string, Known<R>>();
  const add = (command: Known<R>): void => {
    if (commands.has(command.type.type)) throw new Error(`${name} has two calls for ${command.type.type}`);
    commands.set(command.type.type, command);
  };
  for (const { step, undo } of all) {
    add({ ...step, part: "step", nothing: () => null });
    if (undo !== null) add({ ...undo, part: "undo" });
  }
  return commands;
};

/** A call to be made now. */
interface Due extends Attempt.Call {
  readonly stepKey: string;
}

interface Report {
  readonly due: Due;
  readonly finding: Attempt.Finding;
}

type Input = Aggregate.Input<Report>;

/** All attempts of one key, by the step's key. As many as its saga has steps here, and rounds. */
const Attempts = Schema.Record(Schema.String, Attempt.Attempt);

interface State {
  readonly revision: number;
  readonly attempts: typeof Attempts.Type;
}

type Decided = Aggregate.Decision<State, Due | null>;

const aggregateOf = <R>(
  name: string,
  commands: ReadonlyMap<string, Known<R>>,
  policy: Attempt.Policy,
): Aggregate.Aggregate<State, Report, Due | null, DocumentStore> => {
  const decode = Schema.decodeUnknownSync(Schema.toCodecJson(Attempts));
  /** The state after a transition, and what it wants. */
  const take = (state: State, key: string, stepKey: string, [attempt, wants]: Attempt.Transition, due: Due | null = null): Decided => {
    const drafts: Array<Message.Draft> = [];
    const timers: Array<TimerRequest> = [];
    for (const want of wants) {
      if (want._tag === "Wake") timers.push({ _tag: "Schedule", name: stepKey, token: Attempt.tokenOf(attempt), at: want.at });
      else if (want._tag === "Sleep") timers.push({ _tag: "Unschedule", name: stepKey });
      else {
        const { asked } = want;
        const outcome = want._tag === "Answer" ? want.outcome : (commands.get(asked.type)?.nothing(asked.body) ?? null);
        if (outcome !== null) drafts.push({ type: outcome.type, topic: outcome.topic, key, stepKey, saga: asked.saga, json: outcome.body });
      }
    }
    const same = state.attempts[stepKey] === attempt;
    return { state: same ? state : { ...state, attempts: { ...state.attempts, [stepKey]: attempt } }, drafts, timers, answer: due };
  };
  const ignored = (state: State): Decided => ({ state, drafts: [], timers: [], answer: null });
  const message = (state: State, envelope: Message.Envelope, now: Timestamp): Decided => {
    const command = commands.get(envelope.type);
    const { stepKey, key, saga } = envelope;
    // Without a key nobody could tell a second request from a repeated one.
    if (command === undefined || stepKey === null) return ignored(state);
    const asked: Attempt.Asked = { type: envelope.type, body: command.encode(envelope), saga };
    const attempt = state.attempts[stepKey] ?? Attempt.initial;
    return take(state, key, stepKey, command.part === "step" ? Attempt.ask(attempt, asked, now) : Attempt.undo(attempt, asked, now));
  };
  const timer = (state: State, { key, name: stepKey, token }: Timer, now: Timestamp): Decided => {
    const attempt = state.attempts[stepKey];
    const fired = attempt === undefined ? null : Attempt.fire(attempt, token, policy, now);
    if (fired === null) return ignored(state);
    const [next, wants, due] = fired;
    return take(state, key, stepKey, [next, wants], { ...due, stepKey });
  };
  return {
    name,
    initial: { revision: 0, attempts: {} },
    load: Effect.fnUntraced(function* (keys) {
      const store = yield* DocumentStore;
      const documents = yield* store.load(name, keys);
      return new Map([...documents].map(([key, { revision, state }]) => [key, { revision, attempts: decode(state) }]));
    }),
    save: Effect.fnUntraced(function* (changes) {
      const store = yield* DocumentStore;
      yield* store.save(
        changes.map(({ key, before, after }) => ({ kind: name, id: key, revision: before.revision + 1, state: after.attempts })),
      );
    }),
    decide: (state, input, now) => {
      switch (input._tag) {
        case "Message":
          return message(state, input.envelope, now);
        case "Timer":
          return timer(state, input.timer, now);
        case "Request": {
          const { due, finding } = input.command;
          const attempt = state.attempts[due.stepKey];
          return attempt === undefined
            ? ignored(state)
            : take(state, input.key, due.stepKey, Attempt.report(attempt, due, finding, policy, now));
        }
      }
    },
    // Reports have no idempotency key.
    encodeAnswer: () => null,
    decodeAnswer: () => null,
  };
};
