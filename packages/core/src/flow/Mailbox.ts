/**
 * Group commit. Everything that waits is run as one batch; each caller gets its own answer, after the commit.
 *
 * - At rest a batch is one item, run at once: waiting is never added. Under load a batch is whatever came while the ones
 *   before it were running, up to `batchMax`.
 * - Items of one key never run in two batches at a time, and run in the order they came.
 * - Bounded: above `capacity` waiting items, `submit` fails at once with `MailboxFull` and nothing happens.
 * - Nobody waits for ever: what a closed mailbox had not begun fails with `Unavailable`, what it was running with `Unknown`.
 * - One poisonous item fails alone, an outage fails nobody's neighbour: see `Batch`.
 */
import { Deferred, Effect, Exit, Latch, Metric, Schema, type Scope } from "effect";
import { StoreError } from "../ports/StoreError.ts";
import * as Batch from "./Batch.ts";

export class MailboxFull extends Schema.TaggedError<MailboxFull>()("MailboxFull", {
  mailbox: Schema.String,
  capacity: Schema.Int,
}) {
  override get message(): string {
    return `${this.mailbox} has ${this.capacity} commands waiting: try again later`;
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

export type Failure = MailboxFull | Batch.Failure;

/** Commands waiting, at most. A full mailbox at 5,000 commands a second empties in two seconds. */
export const CAPACITY = 10_000;

/** Items of one transaction: beyond some hundreds nothing is gained (measured), and locks are held longer. */
export const BATCH_MAX = 256;

/** Batches in flight: while one commits, another one decides. */
export const IN_FLIGHT_MAX = 2;

const batchSize = Metric.histogram("saga_mailbox_batch_size", {
  description: "Items of one group commit",
  boundaries: [1, 2, 4, 8, 16, 32, 64, 128, 256],
});

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

  const failAll = (entries: ReadonlyArray<Entry<I, A>>, reason: "Unavailable" | "Unknown"): void => {
    const exit = Exit.fail(new StoreError({ reason, operation: `${name}.submit`, message: `${name} was closed` }));
    for (const entry of entries) Deferred.doneUnsafe(entry.done, exit);
  };

  let isClosed = false;
  const put = (entries: ReadonlyArray<Entry<I, A>>): void => {
    if (isClosed) return failAll(entries, "Unavailable");
    for (const entry of entries) waiting.push(entry);
    work.openUnsafe();
  };

  // Runs after the loops have ended.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true;
      failAll(waiting, "Unavailable");
      waiting = [];
    }),
  );

  const release = (batch: ReadonlyArray<Entry<I, A>>) =>
    Effect.sync(() => {
      // Those that were answered keep their answer.
      failAll(batch, "Unknown");
      for (const entry of batch) busy.delete(entry.key);
      if (waiting.length > 0) work.openUnsafe();
    });

  const isolated = Batch.isolate(name, run);

  const runAndAnswer = Effect.fnUntraced(function* (batch: ReadonlyArray<Entry<I, A>>) {
    const exits = yield* isolated(batch.map((entry) => entry.item));
    for (const [index, exit] of exits.entries()) {
      const entry = batch[index];
      if (entry !== undefined) Deferred.doneUnsafe(entry.done, exit);
    }
  });

  const loop = Effect.gen(function* () {
    yield* work.await;
    const batch = take();
    if (batch.length === 0) return;
    yield* Metric.update(batchSize, batch.length);
    yield* Effect.ensuring(runAndAnswer(batch), release(batch));
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
