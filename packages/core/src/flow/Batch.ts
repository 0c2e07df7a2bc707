/**
 * Runs a batch so that one poisonous item never fails its neighbours.
 *
 * - `Contention` and `Unavailable`: nobody's fault. The whole batch is run again, for a while; it is never split.
 * - `LeftAlone`: not this process's item. The batch is split as well.
 * - `Refused` or a defect: some item's fault. The batch is split, in order, until that item stands alone.
 * - `Misuse`: the program's fault or its settings' (wrong credentials), no item's. Everyone in the batch is told.
 * - `Unknown`: it may have happened. Everyone in the batch is told; nothing is run again. A run that was interrupted from
 *   within is one.
 */
import { Cause, Duration, Effect, Exit, Metric, Schema } from "effect";
import { describeCause, StoreError } from "../ports/StoreError.ts";
import * as Elapsed from "./Elapsed.ts";

/** The item itself made its batch fail, alone: a defect in a decision, or a write that the store refuses for good. */
export class Poisoned extends Schema.TaggedError<Poisoned>()("Poisoned", {
  mailbox: Schema.String,
  /** A defect's own text: it may quote the item. */
  detail: Schema.String,
  /** What the store said, or the defect's name and place: safe to log. */
  said: Schema.optionalKey(Schema.String),
}) {
  override get message(): string {
    return `${this.mailbox} cannot handle this item: ${saidOf(this)}`;
  }
}

/** Refused for good, for a reason that quotes nothing of the item. */
export const refused = (mailbox: string, said: string): Poisoned => new Poisoned({ mailbox, detail: said, said });

/** What there is to log of why an item cannot be handled: never what is in it, which a defect's own text may quote. */
export const saidOf = (failure: unknown): string => {
  if (failure instanceof Poisoned) return failure.said ?? "a defect";
  return describeCause(Cause.die(failure));
};

/**
 * The item is not this process's to handle: an instance of a version that it does not know. Died with by a handler, it fails that
 * item alone; whoever brought it leaves it where it is, for a process that can.
 */
export class LeftAlone extends Schema.TaggedError<LeftAlone>()("LeftAlone", {
  mailbox: Schema.String,
  detail: Schema.String,
}) {
  override get message(): string {
    return `${this.mailbox} leaves this item alone: ${this.detail}`;
  }
}

/** `what` is of a version that this process does not know. */
export const leftAlone = (mailbox: string, what: string, version: number): LeftAlone =>
  new LeftAlone({ mailbox, detail: `${what} is of version ${version}, which is not known here` });

export type Failure = Poisoned | LeftAlone | StoreError;

/**
 * A batch begins beside another one when so many items wait. Beginning at once would make more and smaller commits of the same load:
 * 18 % fewer orders a second at 64 connections (measured, as was 16: 10 % fewer; 48 is no better).
 */
export const BESIDE_MIN = 32;

/**
 * Items of the next batch, at most, of a `load` that waits or is in flight: its share. One that took all would leave the others little,
 * and a small batch is over before the next large one is made: then the server waits (measured: 32 and 224 in turn answer three quarters of
 * what 128 and 128 do).
 */
export const shareOf = (load: number, inFlightMax: number, max: number): number => {
  const share = Math.ceil(load / inFlightMax);
  return share < BESIDE_MIN ? max : Math.min(share, max);
};

/** How long a batch is run again while the store is away or busy, in milliseconds, before its callers are told. The last run may take longer. */
export const RETRY_FOR_MS = 10_000;

const retries = Metric.counter("saga_mailbox_retries_total", { description: "Batches run again", incremental: true });

/** `run` in one transaction, one answer per item; the result has one exit per item, in order. */
export const isolate = <I, A, R>(
  name: string,
  run: (items: ReadonlyArray<I>) => Effect.Effect<ReadonlyArray<A>, StoreError, R>,
): ((items: ReadonlyArray<I>) => Effect.Effect<ReadonlyArray<Exit.Exit<A, Failure>>, never, R>) => {
  const attempt = (items: ReadonlyArray<I>): Effect.Effect<ReadonlyArray<Exit.Exit<A, Failure>>, never, R> =>
    Effect.matchCauseEffect(
      retried(
        Effect.suspend(() => run(items)),
        name,
      ),
      {
        onSuccess: (answers) => Effect.succeed(items.map((_, index) => answerOf(name, answers, index))),
        onFailure: (cause) => {
          const verdict = judge(name, cause);
          if (verdict._tag === "StoreError" || items.length === 1) return Effect.succeed(items.map(() => Exit.fail(verdict)));
          const half = Math.ceil(items.length / 2);
          return Effect.zipWith(attempt(items.slice(0, half)), attempt(items.slice(half)), (left, right) => [...left, ...right]);
        },
      },
    );
  return attempt;
};

const answerOf = <A>(name: string, answers: ReadonlyArray<A>, index: number): Exit.Exit<A, Failure> => {
  const answer = answers[index];
  return answer === undefined ? Exit.fail(refused(name, "its batch gave it no answer")) : Exit.succeed(answer);
};

/** First pause before a batch is run again; doubles up to `RETRY_PAUSE_MAX_MS`. */
const RETRY_PAUSE_MS = 10;
const RETRY_PAUSE_MAX_MS = 1_000;

/** Runs again what may succeed later and cannot have happened. Time spent in a run counts: an attempt to connect may take seconds. */
const retried = <A, R>(run: Effect.Effect<A, StoreError, R>, name: string): Effect.Effect<A, StoreError, R> => {
  const again = (error: StoreError, end: number, pause: number): Effect.Effect<A, StoreError, R> =>
    Effect.flatMap(Elapsed.now, (now) =>
      now >= end
        ? Effect.fail(error)
        : Effect.logDebug(`${name}: ${error.message}; running the batch again in ${pause} ms`).pipe(
            Effect.andThen(Metric.update(retries, 1)),
            Effect.andThen(Effect.sleep(Duration.millis(pause))),
            Effect.andThen(Effect.suspend(() => go(end, Math.min(pause * 2, RETRY_PAUSE_MAX_MS)))),
          ),
    );
  const go = (end: number, pause: number): Effect.Effect<A, StoreError, R> =>
    Effect.catchIf(
      run,
      (error) => error.isRetryable,
      (error) => again(error, end, pause),
    );
  return Effect.flatMap(Elapsed.now, (now) => go(now + RETRY_FOR_MS, RETRY_PAUSE_MS));
};

/** Is it the item's fault? A defect or a refused write is; an outage never is. */
const judge = (mailbox: string, cause: Cause.Cause<StoreError>): Failure => {
  for (const reason of cause.reasons) {
    if (Cause.isFailReason(reason)) {
      const { error } = reason;
      return error.reason === "Refused" ? refused(mailbox, error.message) : error;
    }
  }
  // By whom? Not by whoever ends this fiber: that runs no handler. It may have committed before.
  if (Cause.hasInterruptsOnly(cause))
    return new StoreError({ reason: "Unknown", operation: `${mailbox}.run`, message: "it was interrupted" });
  const defect = Cause.squash(cause);
  if (defect instanceof LeftAlone) return defect;
  return new Poisoned({ mailbox, detail: defect instanceof Error ? defect.message : "a defect", said: saidOf(defect) });
};
