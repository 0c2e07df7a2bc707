/**
 * A saga whose steps this process does itself: functions that are called, instead of messages that are sent and answered.
 *
 *   start ─ commit ─▶ step 1 ─ commit ─▶ step 2 ─ commit ─▶ … ─▶ at rest
 *
 * 1. A step is called only after the commit that asks for it: its instance says `sent`, and its timer stands.
 * 2. The next step is called only after the commit that holds this one's outcome. Instances share their commits.
 * 3. A step is called at least once, each time under the same key (`<instance>:<step>:<round>`, its undo under
 *    `<instance>:<step>:<round>/undo`), by which it must be idempotent. An outcome counts once: a second one changes nothing, a
 *    late one what it would have done, if it is still awaited.
 * 4. A process that dies leaves its instances to their timers: whoever pumps them, here or elsewhere, asks again.
 * 5. While a call is under way here it is not made a second time here, and its undo waits for its end (`DirectSagaCalls`).
 * 6. An outcome that cannot be written is told by saga, instance and step, and ends no other call. If it is refused for good, the
 *    function is called again ever more rarely (`DirectSagaRefusals`).
 * 7. While a process follows an instance it need not read it: what it wrote last is a guess at what is there. A decision upon
 *    a guess always writes, and the write refuses an outdated one; then the instance is read.
 *
 * No aggregate stands beside it. A command that no function here performs goes through the outbox, as in any saga, and its
 * reply enters by `handle`.
 */
import { Duration, Effect, Exit, Fiber, Option, Result, type Scope } from "effect";
import type * as Message from "../domain/Message.ts";
import * as InstanceId from "../domain/saga/InstanceId.ts";
import type { Definition } from "../domain/saga/Saga.ts";
import type * as SagaDecider from "../domain/saga/SagaDecider.ts";
import * as SagaRules from "../domain/saga/SagaRules.ts";
import * as SagaVersions from "../domain/saga/SagaVersions.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { SagaStore } from "../ports/SagaStore.ts";
import { describeCause, StoreError } from "../ports/StoreError.ts";
import type { Timer } from "../ports/Timers.ts";
import * as Aggregate from "./Aggregate.ts";
import * as Batch from "./Batch.ts";
import * as CommandHandler from "./CommandHandler.ts";
import * as DirectSagaAggregate from "./DirectSagaAggregate.ts";
import type { Answer, Ask, Command, Followed, Thread } from "./DirectSagaAggregate.ts";
import * as DirectSagaCalls from "./DirectSagaCalls.ts";
import type { Outcome, Step } from "./DirectSagaCalls.ts";
import * as DirectSagaPart from "./DirectSagaPart.ts";
import * as DirectSagaRefusals from "./DirectSagaRefusals.ts";
import * as Mailbox from "./Mailbox.ts";
import * as TimerPump from "./TimerPump.ts";

export { LATE_MAX_MS, type Outcome, type Step } from "./DirectSagaCalls.ts";
export { PAUSE_MAX_MS as REFUSED_PAUSE_MAX_MS } from "./DirectSagaRefusals.ts";

/**
 * Performs `type`: a step's command or probe, under the step's key, or an undo's, under that key and `/undo`. A failure or a defect
 * is no outcome: the step is asked again by its timer. So is a call that outlasts the definition's timeout, but it goes on: it is
 * not made again meanwhile, and its outcome counts when it comes, if it is still awaited. A call that outlasts it by
 * `LATE_MAX_MS` is interrupted. What failed for good is an outcome, too: the definition's failure reply.
 */
export const step = <B, E, R>(type: Message.MessageType<B>, perform: (body: B, key: string) => Effect.Effect<Outcome, E, R>): Step<R> => ({
  type: type.type,
  perform: (json, key) => {
    const body = type.decode(json);
    return Result.isSuccess(body) ? perform(body.success, key) : Effect.fail(body.failure);
  },
});

export const outcome = <B>(type: Message.MessageType<B>, body: NoInfer<B>): Outcome => ({ type: type.type, topic: type.topic, body });

export interface Options<D, R> {
  readonly definition: Definition<D, never>;
  /** Versions before it whose instances go on here; those of others are left alone. */
  readonly older?: ReadonlyArray<SagaVersions.Older<never>>;
  readonly steps: ReadonlyArray<Step<R>>;
}

export interface DirectSaga<D> {
  /**
   * Starts the instance `id` and sees its steps through. Answers with the status that it came to; `running` or `compensating`
   * if a step gave no outcome, or has to come from elsewhere: then it goes on by its timer or message. An instance that was
   * started before is left alone: its present status. An id that is empty, longer than `INSTANCE_ID_MAX`, no well-formed Unicode, or
   * has a NUL is refused: `Poisoned`. It fails where an outcome could not be written, when the calls beside it have ended.
   */
  readonly run: (id: string, data: D) => Effect.Effect<SagaDecider.Status, Mailbox.Failure>;
  /** The same, answered as soon as the instance stands: `rest` sees it through. */
  readonly start: (id: string, data: D) => Effect.Effect<Moved, Mailbox.Failure>;
  /** What a person says to an instance; null if there is none. `rest` performs what it asks for. */
  readonly tell: (id: string, word: (now: Timestamp) => Word) => Effect.Effect<Moved | null, Mailbox.Failure>;
  /** For `TimerPump.layer(definition.name, …)`: goes on with instances whose step was not answered in time. */
  readonly onTimers: (timers: ReadonlyArray<Timer>) => Effect.Effect<void, StoreError>;
  /** For `MessageConsumer`: replies of participants elsewhere. */
  readonly handle: (envelopes: ReadonlyArray<Message.Envelope>) => Effect.Effect<ReadonlyArray<Exit.Exit<unknown, Mailbox.Failure>>>;
}

/** A cancel, or what is done about an undo that was refused (G8). */
export type Word = Extract<SagaDecider.Input<never>, { readonly _tag: "Cancel" | "Resume" | "Resolve" }>;

/** An instance after the commit of an input. */
export interface Moved {
  readonly status: SagaDecider.Status;
  /** What the input asked for and all that follows, as `run` does; answers with the status that it came to. */
  readonly rest: Effect.Effect<SagaDecider.Status, Mailbox.Failure>;
}

/** A saga and its mailbox. Steps that timers or messages asked for run on in the background, to the end of the scope. */
export const make = Effect.fnUntraced(function* <D, R>(
  options: Options<D, R>,
): Effect.fn.Return<DirectSaga<D>, never, R | CommandHandler.Ports | SagaStore | Scope.Scope> {
  const { definition, steps } = options;
  const scope = yield* Effect.scope;
  const versions = SagaVersions.make(definition, options.older);
  const types = steps.map(({ type }) => type);
  const problem = DirectSagaPart.problem(versions.known, types);
  if (problem !== null) SagaRules.refuse(definition.name, problem);
  const performed = new Set(types);
  const begin = DirectSagaCalls.make(definition.name, steps, yield* Effect.context<R>(), scope);
  const followed: Followed = new Map();
  const mailbox = yield* Mailbox.make<Aggregate.Input<Command<D>>, CommandHandler.Handled<Answer>, CommandHandler.Ports | SagaStore>({
    name: definition.name,
    key: Aggregate.keyOf,
    run: CommandHandler.runBatch(DirectSagaAggregate.make(versions, (type) => performed.has(type), followed)),
  });

  const refusals = DirectSagaRefusals.make();
  /** In the background: whoever brought what asks for it does not wait for functions. An outcome that is not written has been told. */
  const behind = <A>(work: Effect.Effect<A, Mailbox.Failure>) =>
    Effect.forkIn(
      Effect.catchCause(Effect.ignore(work), (cause) =>
        Effect.logWarning(`${definition.name}: a step did not go on; its timer asks again: ${describeCause(cause)}`),
      ),
      scope,
    );
  const told = (key: string, ask: Ask, outcome: Outcome) =>
    mailbox.submit(Aggregate.request(key, replyOf(ask.draft, outcome))).pipe(
      Effect.tap(() => Effect.sync(() => refusals.written(ask))),
      Effect.tapError((failure) => Effect.logWarning(refusals.unwritten(definition.name, key, ask, failure))),
    );

  /** Sees an instance through from `first` on, as far as this process performs what is asked. It is followed while this runs, not before. */
  const follow = (
    key: string,
    first: Effect.Effect<CommandHandler.Handled<Answer>, Mailbox.Failure>,
  ): Effect.Effect<SagaDecider.Status, Mailbox.Failure> =>
    Effect.suspend(() => {
      const thread: Thread = { guess: null, written: null };
      followed.set(key, thread);
      let status: SagaDecider.Status = "running";
      const goOn = (handled: CommandHandler.Handled<Answer>): Effect.Effect<void, Mailbox.Failure> => {
        // Requests without a key are always decided.
        if (handled._tag !== "Answered") return Effect.die(new Error(`${key} was not decided`));
        const { instance, asks } = handled.answer;
        status = handled.answer.status;
        // Not if another input of that commit moved it on.
        if (thread.written?.instance === instance) thread.guess = thread.written;
        // Each to its end: that an outcome cannot be written does not end the calls beside it.
        const over = Effect.forEach(asks, (ask) => Effect.exit(perform(ask)), { concurrency: "unbounded" });
        return Effect.flatMap(over, Exit.asVoidAll);
      };
      const perform = (ask: Ask): Effect.Effect<void, Mailbox.Failure> =>
        Effect.flatMap(refusals.isCalled(ask) ? begin(ask) : Effect.succeed(null), (call) => {
          if (call === null) return Effect.void;
          const late = Effect.flatMap(ended(call), (outcome) => (outcome === null ? Effect.void : follow(key, told(key, ask, outcome))));
          return Effect.flatMap(inTime(call, ask.timeoutMillis), (found) => {
            if (Option.isNone(found))
              return Effect.andThen(Effect.logWarning(`${definition.name}: ${ask.key} takes longer than its timeout`), behind(late));
            return found.value === null ? Effect.void : Effect.flatMap(told(key, ask, found.value), goOn);
          });
        });
      const loop = Effect.map(Effect.flatMap(first, goOn), () => status);
      const forget = Effect.sync(() => {
        if (followed.get(key) === thread) followed.delete(key);
      });
      return Effect.ensuring(loop, forget);
    });

  /** What timers and messages ask for is performed in the background. */
  const entrance: Mailbox.Mailbox<Aggregate.MessageInput | Aggregate.TimerInput, CommandHandler.Handled<Answer>> = {
    submit: (input) => Effect.tap(mailbox.submit(input), (handled) => goOn(input, handled)),
    submitAll: (inputs) =>
      Effect.tap(mailbox.submitAll(inputs), (exits) =>
        Effect.forEach(inputs, (input, index) => {
          const exit = exits[index];
          return exit !== undefined && Exit.isSuccess(exit) ? goOn(input, exit.value) : Effect.void;
        }),
      ),
  };
  const goOn = (input: Aggregate.MessageInput | Aggregate.TimerInput, handled: CommandHandler.Handled<Answer>) => {
    if (handled._tag !== "Answered" || handled.answer.asks.length === 0) return Effect.void;
    return behind(follow(Aggregate.keyOf(input), Effect.succeed(handled)));
  };

  const started = (id: string, data: D): Effect.Effect<CommandHandler.Handled<Answer>, Mailbox.Failure> =>
    Effect.suspend(() => {
      const wrong = InstanceId.problem(id);
      if (wrong !== null) return Effect.fail(Batch.refused(definition.name, wrong));
      return mailbox.submit(Aggregate.request(id, (now) => ({ _tag: "Start", id, data, now })));
    });
  const movedBy = (id: string, handled: CommandHandler.Handled<Answer>): Moved | null =>
    handled._tag !== "Answered" || handled.answer.instance === null
      ? null
      : { status: handled.answer.status, rest: follow(id, Effect.succeed(handled)) };

  return {
    run: (id, data) => follow(id, started(id, data)),
    start: (id, data) =>
      Effect.flatMap(started(id, data), (handled) => {
        const there = movedBy(id, handled);
        return there === null ? Effect.die(new Error(`${id} was not started`)) : Effect.succeed(there);
      }),
    tell: (id, word) => Effect.map(mailbox.submit(Aggregate.request(id, word)), (handled) => movedBy(id, handled)),
    onTimers: TimerPump.into(entrance),
    handle: (envelopes) => entrance.submitAll(envelopes.map((envelope) => ({ _tag: "Message", envelope }))),
  };
});

/** None: it still runs. Whoever is interrupted while it waits interrupts the call. */
const inTime = (call: DirectSagaCalls.Call, timeoutMillis: number): Effect.Effect<Option.Option<Outcome | null>> => {
  const over = call.pollUnsafe();
  // A function that answers at once needs no clock.
  if (over !== undefined) return Effect.succeed(Option.some(outcomeOf(over)));
  return ended(call).pipe(
    Effect.timeoutOption(Duration.millis(timeoutMillis)),
    Effect.onInterrupt(() => Fiber.interrupt(call)),
  );
};

const ended = (call: DirectSagaCalls.Call): Effect.Effect<Outcome | null> => Effect.map(Fiber.await(call), outcomeOf);

/** It can only have been interrupted, with its scope: no outcome. */
const outcomeOf = (exit: Exit.Exit<Outcome | null>): Outcome | null => (Exit.isSuccess(exit) ? exit.value : null);

/** The outcome as the reply that the definition awaits. It has no identity: the step's key is what counts. */
const replyOf =
  (asked: Message.Draft, { type, topic, body }: Outcome): Command<never> =>
  (now) => {
    const { key, stepKey, saga } = asked;
    const nobody = { causationId: null, traceparent: null, tracestate: null };
    const meta = { id: stepKey ?? key, type, topic, key, occurredAt: now, correlationId: key, stepKey, saga };
    return { _tag: "Reply", envelope: { ...meta, ...nobody, body }, now };
  };
