/**
 * What the parts of a client share: its runtime, what is in flight, and the scopes of what runs in the background.
 *
 * It closes in this order: new calls are refused → nothing is taken from the broker or the timers any more → what is in flight
 * ends → mailboxes close → the outbox is published → connections close.
 */
import { Duration, Effect, Exit, Layer, type ManagedRuntime, Scope } from "effect";
import * as OutboxRelay from "../flow/OutboxRelay.ts";
import type { MessageBus } from "../ports/MessageBus.ts";
import { describeCause } from "../ports/StoreError.ts";
import type { Stores } from "./Database.ts";
import { ofCause, SagaError, Thrown } from "./SagaError.ts";

export interface Session<Own> {
  /** Runs a call of the user; refused when the client is closing. */
  readonly call: <A, E>(effect: Effect.Effect<A, E, Stores | MessageBus | Own>) => Promise<A>;
  /** Of a call that has been answered, what goes on behind it. Closing waits for it; what it fails with is logged. */
  readonly behind: <A, E>(effect: Effect.Effect<A, E, Stores | MessageBus | Own>) => void;
  /** A function of the user's, inside. What it throws is `Thrown`. Closing waits for it. */
  readonly user: <A>(run: () => Promise<A>) => Effect.Effect<A, Thrown>;
  /** In the background until the client closes: mailboxes. */
  readonly inner: <A, E, R>(effect: Effect.Effect<A, E, R | Scope.Scope>) => Effect.Effect<A, E, Exclude<R, Scope.Scope>>;
  /** In the background until the client begins to close: consumers, timers. */
  readonly source: <E, R>(layer: Layer.Layer<never, E, R>) => Effect.Effect<void, E, R>;
  /** How long a user's function may hold a transaction open. */
  readonly transactionWithin: Duration.Input;
  readonly close: () => Promise<void>;
}

/** How long closing waits for what is in flight, and then for the outbox, unless it is said: below what orchestrators give a process to end. */
export const CLOSE_WITHIN: Duration.Input = "10 seconds";

/**
 * How long a user's function may hold a transaction open, unless it is said: it holds a connection and its rows' locks. A function
 * that waits for another call of its client, which waits for that very connection, would wait for ever.
 */
export const TRANSACTION_WITHIN: Duration.Input = "1 minute";

export const make = <Own>(
  runtime: ManagedRuntime.ManagedRuntime<Stores | MessageBus | Own, unknown>,
  closeWithin: Duration.Input,
  transactionWithin: Duration.Input,
): Session<Own> => {
  const sources = Scope.makeUnsafe();
  const inner = Scope.makeUnsafe();
  const inFlight = new Set<Promise<unknown>>();
  let closing: Promise<void> | null = null;

  const follow = <A>(promise: Promise<A>): Promise<A> => {
    inFlight.add(promise);
    const forget = (): void => void inFlight.delete(promise);
    promise.then(forget, forget);
    return promise;
  };

  const settle = async <A, E>(effect: Effect.Effect<A, E, Stores | MessageBus | Own>): Promise<A> => {
    const exit = await runtime.runPromiseExit(effect);
    if (Exit.isSuccess(exit)) return exit.value;
    throw ofCause(exit.cause);
  };

  /** Calls go on while what they began is in flight: looked at again until nothing is. */
  const drained = Effect.promise(async () => {
    while (inFlight.size > 0) await Promise.allSettled(inFlight);
  });
  const atMost = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.timeoutOption(effect, closeWithin);

  const end = async (): Promise<void> => {
    const closed = Effect.gen(function* () {
      yield* Scope.close(sources, Exit.void);
      yield* atMost(drained);
      yield* Scope.close(inner, Exit.void);
      // What is left is published by another process, or by this one after its next start.
      yield* atMost(
        Effect.catchCause(OutboxRelay.drainOnce, (cause) => Effect.logWarning(`the outbox was not drained: ${describeCause(cause)}`)),
      );
    });
    try {
      await runtime.runPromise(closed);
    } finally {
      await runtime.dispose();
    }
  };

  return {
    call: (effect) => (closing === null ? follow(settle(effect)) : Promise.reject(new SagaError("Closed", "the client is closing"))),
    behind: (effect) =>
      void follow(runtime.runPromiseExit(Effect.tapCause(effect, (cause) => Effect.logWarning(`behind a call: ${describeCause(cause)}`)))),
    user: (run) =>
      Effect.tryPromise({
        try: () => follow(Promise.resolve().then(run)),
        catch: (error) => new Thrown(error),
      }),
    inner: (effect) => Scope.provide(effect, inner),
    source: (layer) =>
      Effect.flatMap(Scope.fork(sources), (scope) =>
        // What could not begin as a whole leaves nothing running.
        Effect.onError(Effect.asVoid(Layer.buildWithScope(layer, scope)), (cause) => Scope.close(scope, Exit.failCause(cause))),
      ),
    transactionWithin,
    close: () => (closing ??= end()),
  };
};
