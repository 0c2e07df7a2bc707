/**
 * Group commit. Everything that waits is run as one batch; each caller gets its own answer, after the commit.
 *
 * - At rest a batch is one item, run at once: waiting is never added. Under load a batch is whatever came while the ones
 *   before it were running, up to `batchMax`.
 * - Items of one key never run in two batches at a time, and run in the order they came.
 * - Bounded: above `capacity` waiting items, `submit` fails at once with `MailboxFull` and nothing happens.
 * - One poisonous item (a defect, or an error with reason `Refused`) fails alone: its batch is split until it stands
 *   alone. `Contention` and `Unavailable` never split: the whole batch is run again, for a while. `Unknown` is handed to
 *   every caller of the batch: it may have happened.
 */
import { Cause, Deferred, Duration, Effect, Exit, Latch, Metric, Schema, type Scope } from "effect";
import { StoreError } from "../ports/StoreError.ts";

export class MailboxFull extends Schema.TaggedError<MailboxFull>()("MailboxFull", {
  mailbox: Schema.String,
  capacity: Schema.Int,
}) {
  override get message(): string {
    return `${this.mailbox} has ${this.capacity} commands waiting: try again later`;
  }
}

/** The item itself made its batch fail, alone: a defect in a decision, or a write that the store refuses for good. */
export class Poisoned extends Schema.TaggedError<Poisoned>()("Poisoned", {
  mailbox: Schema.String,
  detail: Schema.String,
}) {
  override get message(): string {
    return `${this.mailbox} cannot handle this item: ${this.detail}`;
  }
}

export interface Options<I, A, R> {
  /** For metrics and errors. */
  readonly name: string;
  readonly key: (item: I) => string;
  /** Runs a batch in one transaction. One answer per item, in order. */
  readonly run: (items: ReadonlyArray<I>) => Effect.Effect<ReadonlyArray<A>, StoreError, R>;
  readonly capacity?: number;
  readonly batchMax?: number;
  /** Batches running at a time. */
  readonly inFlightMax?: number;
}

export interface Mailbox<I, A> {
  readonly submit: (item: I) => Effect.Effect<A, Failure>;
  /** Submits all, in order; one exit per item. Never refused for capacity: the caller is a consumer that brings its own bound. */
  readonly submitAll: (items: ReadonlyArray<I>) => Effect.Effect<ReadonlyArray<Exit.Exit<A, Failure>>>;
}

export type Failure = MailboxFull | Poisoned | StoreError;

/** Commands waiting, at most. A full mailbox at 5,000 commands a second empties in two seconds. */
export const CAPACITY = 10_000;

/** Items of one transaction: beyond some hundreds nothing is gained (measured), and locks are held longer. */
export const BATCH_MAX = 256;

/** Batches in flight: while one commits, another one decides. */
export const IN_FLIGHT_MAX = 2;

/** How long a batch is run again while the store is away or busy, in milliseconds, before its callers are told. */
export const RETRY_FOR_MS = 10_000;

const batchSize = Metric.histogram("saga_mailbox_batch_size", {
  description: "Items of one group commit",
  boundaries: [1, 2, 4, 8, 16, 32, 64, 128, 256],
});
const retries = Metric.counter("saga_mailbox_retries_total", { description: "Batches run again", incremental: true });

interface Entry<I, A> {
  readonly item: I;
  readonly key: string;
  readonly done: Deferred.Deferred<A, Failure>;
}

export const make = Effect.fnUntraced(function* <I, A, R>(
  options: Options<I, A, R>,
): Effect.fn.Return<Mailbox<I, A>, never, R | Scope.Scope> {
  const { name, key, run } = options;
  const capacity = options.capacity ?? CAPACITY;
  const batchMax = options.batchMax ?? BATCH_MAX;
  let waiting: Array<Entry<I, A>> = [];
  const busy = new Set<string>();
  const work = yield* Latch.make(false);

  /** Takes what may run now: oldest first, none whose key is in flight. */
  const take = (): ReadonlyArray<Entry<I, A>> => {
    const batch: Array<Entry<I, A>> = [];
    const rest: Array<Entry<I, A>> = [];
    for (const entry of waiting) {
      if (batch.length < batchMax && !busy.has(entry.key)) batch.push(entry);
      else rest.push(entry);
    }
    waiting = rest;
    for (const entry of batch) busy.add(entry.key);
    if (rest.length === 0 || batch.length === 0) work.closeUnsafe();
    return batch;
  };

  const put = (entries: ReadonlyArray<Entry<I, A>>): void => {
    for (const entry of entries) waiting.push(entry);
    work.openUnsafe();
  };

  const release = (batch: ReadonlyArray<Entry<I, A>>) =>
    Effect.sync(() => {
      for (const entry of batch) busy.delete(entry.key);
      if (waiting.length > 0) work.openUnsafe();
    });

  const answer = (batch: ReadonlyArray<Entry<I, A>>, exit: Exit.Exit<ReadonlyArray<A>, Failure>): void => {
    for (const [index, entry] of batch.entries()) {
      if (Exit.isFailure(exit)) {
        Deferred.doneUnsafe(entry.done, Exit.failCause(exit.cause));
        continue;
      }
      const own = exit.value[index];
      Deferred.doneUnsafe(
        entry.done,
        own === undefined ? Exit.fail(new Poisoned({ mailbox: name, detail: "the batch gave it no answer" })) : Exit.succeed(own),
      );
    }
  };

  const attempt = (batch: ReadonlyArray<Entry<I, A>>): Effect.Effect<void, never, R> =>
    Effect.matchCauseEffect(
      retried(
        Effect.suspend(() => run(batch.map((entry) => entry.item))),
        name,
      ),
      {
        onSuccess: (answers) => Effect.sync(() => answer(batch, Exit.succeed(answers))),
        onFailure: (cause) => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt;
          const verdict = judge(name, cause);
          if (verdict._tag !== "Poisoned") return Effect.sync(() => answer(batch, Exit.fail(verdict)));
          if (batch.length === 1) return Effect.sync(() => answer(batch, Exit.fail(verdict)));
          const half = Math.ceil(batch.length / 2);
          return Effect.andThen(attempt(batch.slice(0, half)), attempt(batch.slice(half)));
        },
      },
    );

  const loop = Effect.gen(function* () {
    yield* work.await;
    const batch = take();
    if (batch.length === 0) return;
    yield* Metric.update(batchSize, batch.length);
    yield* Effect.ensuring(attempt(batch), release(batch));
  }).pipe(Effect.forever);

  for (let index = 0; index < (options.inFlightMax ?? IN_FLIGHT_MAX); index++) yield* Effect.forkScoped(loop);

  const entryOf = (item: I): Entry<I, A> => ({ item, key: key(item), done: Deferred.makeUnsafe<A, Failure>() });

  return {
    submit: (item) =>
      Effect.suspend(() => {
        if (waiting.length >= capacity) return Effect.fail(new MailboxFull({ mailbox: name, capacity }));
        const entry = entryOf(item);
        put([entry]);
        return Deferred.await(entry.done);
      }),
    submitAll: (items) =>
      Effect.suspend(() => {
        const entries = items.map(entryOf);
        put(entries);
        return Effect.forEach(entries, (entry) => Effect.exit(Deferred.await(entry.done)));
      }),
  };
});

/** First pause before a batch is run again; doubles up to `RETRY_PAUSE_MAX_MS`. */
const RETRY_PAUSE_MS = 10;
const RETRY_PAUSE_MAX_MS = 1_000;

/** Runs again what may succeed later and cannot have happened, for `RETRY_FOR_MS` of waiting. */
const retried = <A, R>(run: Effect.Effect<A, StoreError, R>, name: string): Effect.Effect<A, StoreError, R> => {
  const go = (waited: number, pause: number): Effect.Effect<A, StoreError, R> =>
    Effect.catchIf(
      run,
      (error) => error.isRetryable && waited < RETRY_FOR_MS,
      (error) =>
        Effect.logDebug(`${name}: ${error.message}; running the batch again in ${pause} ms`).pipe(
          Effect.andThen(Metric.update(retries, 1)),
          Effect.andThen(Effect.sleep(Duration.millis(pause))),
          Effect.andThen(Effect.suspend(() => go(waited + pause, Math.min(pause * 2, RETRY_PAUSE_MAX_MS)))),
        ),
    );
  return go(0, RETRY_PAUSE_MS);
};

/** Is it the item's fault? A defect or a refused write is; an outage never is. */
const judge = (mailbox: string, cause: Cause.Cause<StoreError>): Poisoned | StoreError => {
  for (const reason of cause.reasons) {
    if (Cause.isFailReason(reason)) {
      const { error } = reason;
      return error.reason === "Refused" || error.reason === "Misuse" ? new Poisoned({ mailbox, detail: error.message }) : error;
    }
  }
  const defect = Cause.squash(cause);
  return new Poisoned({ mailbox, detail: defect instanceof Error ? defect.message : "a defect" });
};
