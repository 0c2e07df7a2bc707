/**
 * A worker is a pass and a layer: the pass is testable, the layer repeats it. A pass that fails is logged, counted and
 * run again after a pause that grows while failures follow each other; the worker itself never ends. So a process may
 * start before its servers: it comes up when they do.
 */
import { type Cause, Clock, Duration, Effect, Layer, Metric } from "effect";
import { describeCause } from "../ports/StoreError.ts";

/** First pause after a failure, in milliseconds. Doubles up to `PAUSE_MAX_MS`. */
export const PAUSE_MS = 100;
export const PAUSE_MAX_MS = 5_000;

/** A pass that ran for so long, in milliseconds, was well: its failure is the first one. Above what an attempt to connect takes. */
export const HEALTHY_MS = 60_000;

const restarts = Metric.counter("saga_worker_restarts_total", { description: "Passes that failed and were run again", incremental: true });

/** Repeats `pass` forever. It never fails; interruption ends it, one that comes out of the pass itself is a failure like others. */
export const forever = <A, E, R>(name: string, pass: Effect.Effect<A, E, R>): Effect.Effect<never, never, R> => {
  const counter = Metric.withAttributes(restarts, { worker: name });
  const again = (cause: Cause.Cause<E>, pause: number): Effect.Effect<never, never, R> =>
    Effect.logWarning(`${name}: ${describeCause(cause)}; again in ${pause} ms`).pipe(
      Effect.andThen(Metric.update(counter, 1)),
      Effect.andThen(Effect.sleep(Duration.millis(pause))),
      Effect.andThen(Effect.suspend(() => go(Math.min(pause * 2, PAUSE_MAX_MS)))),
    );
  const go = (pause: number): Effect.Effect<never, never, R> =>
    Effect.flatMap(Clock.currentTimeMillis, (start) =>
      Effect.matchCauseEffect(pass, {
        onSuccess: () => Effect.suspend(() => go(PAUSE_MS)),
        onFailure: (cause) => Effect.flatMap(Clock.currentTimeMillis, (now) => again(cause, now - start >= HEALTHY_MS ? PAUSE_MS : pause)),
      }),
    );
  return go(PAUSE_MS);
};

/** Runs the worker in the background for as long as the layer lives. */
export const layer = <A, E, R>(name: string, pass: Effect.Effect<A, E, R>): Layer.Layer<never, never, R> =>
  Layer.effectDiscard(Effect.forkScoped(forever(name, pass)));
