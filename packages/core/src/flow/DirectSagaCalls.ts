/**
 * The calls of a `DirectSaga` that are under way in this process.
 *
 * 1. Under one key one call is under way. Who asks again meanwhile finds it, and calls nothing.
 * 2. An undo is called when the call of what it undoes has ended.
 * 3. A call is not interrupted when its step's time is over: it may be done any moment. It is after `LATE_MAX_MS` more, so that
 *    one that hangs for good does not hold its instance for ever; then it counts as ended.
 *
 * It does not know what other processes call.
 */
import { type Context, Deferred, Duration, Effect, type Fiber, type Scope } from "effect";
import { describeCause } from "../ports/StoreError.ts";
import type { Ask } from "./DirectSagaAggregate.ts";

/** How long a call may outlast its step's timeout, in milliseconds: most clients, proxies and providers have given up by then. */
export const LATE_MAX_MS = 300_000;

/** What a step came to: one of the messages that its definition awaits. */
export interface Outcome {
  readonly type: string;
  readonly topic: string;
  readonly body: unknown;
}

/** The function of a command. */
export interface Step<R = never> {
  readonly type: string;
  readonly perform: (body: unknown, key: string) => Effect.Effect<Outcome, unknown, R>;
}

/** A call; null in the end: it gave no outcome. */
export type Call = Fiber.Fiber<Outcome | null>;

/** Calls the function of a command that has one; null: it is under way already, and whoever called it has its outcome. */
export type Begin = (ask: Ask) => Effect.Effect<Call | null>;

export const make = <R>(saga: string, steps: ReadonlyArray<Step<R>>, services: Context.Context<R>, scope: Scope.Scope): Begin => {
  const performers = new Map(steps.map((each) => [each.type, each.perform]));
  /** Open until the call under the key ends. */
  const running = new Map<string, Deferred.Deferred<void>>();

  const called = ({ draft, key, timeoutMillis, step, answers }: Ask): Effect.Effect<Outcome | null> =>
    Effect.suspend(() => performers.get(draft.type)?.(draft.json, key) ?? Effect.die(new Error(`nobody performs ${draft.type}`))).pipe(
      Effect.timeout(Duration.millis(timeoutMillis + LATE_MAX_MS)),
      Effect.provideContext(services),
      Effect.flatMap((outcome: unknown) => {
        if (isOutcome(outcome) && answers.includes(outcome.type)) return Effect.succeed(outcome);
        const said = isOutcome(outcome) ? `"${outcome.type}"` : "no outcome at all";
        const awaited = `The step awaits ${answers.map((type) => `"${type}"`).join(" or ")}`;
        const what = `saga "${saga}", step "${step}": the function of "${draft.type}" answered with ${said}`;
        return Effect.as(Effect.logWarning(`${what}. ${awaited}: ${key} has no outcome, and its timer asks again`), null);
      }),
      Effect.catchCause((cause) =>
        Effect.as(Effect.logWarning(`${saga}: ${key} gave no outcome; its timer asks again: ${describeCause(cause)}`), null),
      ),
    );

  return (ask) =>
    Effect.suspend(() => {
      if (running.has(ask.key)) return Effect.succeed(null);
      const undone = ask.key === ask.draft.stepKey ? undefined : running.get(ask.draft.stepKey ?? "");
      const ended = Deferred.makeUnsafe<void>();
      running.set(ask.key, ended);
      const end = Effect.suspend(() => {
        running.delete(ask.key);
        return Deferred.succeed(ended, undefined);
      });
      const call = undone === undefined ? called(ask) : Effect.andThen(Deferred.await(undone), called(ask));
      return Effect.forkIn(Effect.ensuring(call, end), scope, { startImmediately: true });
    }).pipe(Effect.uninterruptible);
};

/** A function of a program without types answers with anything. */
const isOutcome = (value: unknown): value is Outcome =>
  typeof value === "object" && value !== null && "type" in value && "topic" in value && typeof value.type === "string";
