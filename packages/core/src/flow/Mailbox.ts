/**
 * Group commit. Everything that waits is run as one batch; each caller gets its own answer, after the commit.
 *
 * - At rest a batch is one item, run at once. Under load a batch is whatever came while the one before it was running, up to
 *   `batchMax`; another one begins beside it when it would be large enough, or after 5 milliseconds. Of a load for several in
 *   flight each takes its share, so that all of them are as large.
 * - Items of one key never run in two batches at a time, and run in the order they came.
 * - Keys take turns: one that has thousands waiting takes what room the others leave in a batch.
 * - Bounded: above `capacity` waiting items, `submit` fails at once with `MailboxFull` and nothing happens.
 * - A caller that is interrupted before its item's batch has begun takes it back: nothing happens. Afterwards it runs to its end.
 * - Nobody waits for ever: what a closed mailbox had not begun fails with `Unavailable`, what it was running with `Unknown`.
 * - One poisonous item fails alone, an outage fails nobody's neighbour: see `Batch`.
 */
import { Duration, Effect, Exit, Latch, Metric, Option, Schema, type Scope } from "effect";
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

/** A batch of few keys begins beside another one that takes longer than batches do: it may be waiting for a lock. */
const BESIDE_AFTER = Duration.millis(5);

const batchSize = Metric.histogram("saga_mailbox_batch_size", {
  description: "Items of one group commit",
  boundaries: [1, 2, 4, 8, 16, 32, 64, 128, 256],
});

interface Entry<I, A> {
  readonly item: I;
  readonly lane: Lane<I, A>;
  /** Null once it was answered. */
  answer: ((exit: Exit.Exit<A, Failure>) => void) | null;
}

/** A key's items, in the order they came. */
interface Lane<I, A> {
  readonly key: string;
  /** Waiting. */
  readonly entries: Array<Entry<I, A>>;
  /** How many of them a batch that is being dealt has taken. */
  taken: number;
  /** In flight: the entries wait for the batch to end. */
  isBusy: boolean;
}

export const make = Effect.fnUntraced(function* <I, A, R>(
  options: Options<I, A, R>,
): Effect.fn.Return<Mailbox<I, A>, never, R | Scope.Scope> {
  const { name, key, run } = options;
  const capacity = options.capacity ?? CAPACITY;
  const batchMax = options.batchMax ?? BATCH_MAX;
  const inFlightMax = options.inFlightMax ?? IN_FLIGHT_MAX;
  const lanes = new Map<string, Lane<I, A>>();
  /** Lanes that have something waiting and are not busy. Those that were served go to the end. */
  const ready = new Set<Lane<I, A>>();
  let waiting = 0;
  let isClosed = false;
  /** Batches in flight. */
  const running = new Set<ReadonlyArray<Entry<I, A>>>();
  /** Open while something may run, */
  const some = Latch.makeUnsafe(false);
  /** and while it may run without waiting for more. */
  const enough = Latch.makeUnsafe(false);

  const tell = (): void => {
    if (ready.size > 0) some.openUnsafe();
    else some.closeUnsafe();
    if (ready.size > 0 && (running.size === 0 || ready.size >= Math.min(Batch.BESIDE_MIN, batchMax))) enough.openUnsafe();
    else enough.closeUnsafe();
  };

  const laneOf = (name: string): Lane<I, A> => {
    const known = lanes.get(name);
    if (known !== undefined) return known;
    const lane: Lane<I, A> = { key: name, entries: [], taken: 0, isBusy: false };
    lanes.set(name, lane);
    return lane;
  };

  const put = (item: I, answer: (exit: Exit.Exit<A, Failure>) => void): Entry<I, A> => {
    const lane = laneOf(key(item));
    const entry = { item, lane, answer };
    lane.entries.push(entry);
    waiting += 1;
    if (!lane.isBusy) {
      ready.add(lane);
      tell();
    }
    return entry;
  };

  /** Takes what may run now; each lane's oldest first. */
  const take = (): ReadonlyArray<Entry<I, A>> => {
    let load = waiting;
    for (const batch of running) load += batch.length;
    const max = Batch.shareOf(load, inFlightMax, batchMax);
    const taken = nextLanes(ready, max);
    const batch = deal(taken, max);
    for (const lane of taken) {
      ready.delete(lane);
      lane.isBusy = true;
    }
    waiting -= batch.length;
    if (batch.length > 0) running.add(batch);
    tell();
    return batch;
  };

  const settle = (entry: Entry<I, A>, exit: Exit.Exit<A, Failure>): void => {
    const { answer } = entry;
    entry.answer = null;
    answer?.(exit);
  };

  const failAll = (entries: Iterable<Entry<I, A>>, reason: "Unavailable" | "Unknown"): void => {
    for (const entry of entries) {
      // Those that were answered keep their answer.
      if (entry.answer === null) continue;
      settle(entry, Exit.fail(new StoreError({ reason, operation: `${name}.submit`, message: `${name} was closed` })));
    }
  };

  const rest = (lane: Lane<I, A>): void => {
    lane.isBusy = false;
    if (lane.entries.length > 0) ready.add(lane);
    else lanes.delete(lane.key);
  };

  const release = (batch: ReadonlyArray<Entry<I, A>>) =>
    Effect.sync(() => {
      failAll(batch, "Unknown");
      for (const { lane } of batch) if (lane.isBusy) rest(lane);
      running.delete(batch);
      tell();
    });

  /** Takes back what has not begun. Rare: nobody searches for its place before. */
  const withdraw = (entry: Entry<I, A>): void => {
    const { lane } = entry;
    const place = lane.entries.indexOf(entry);
    entry.answer = null;
    if (place < 0) return;
    lane.entries.splice(place, 1);
    waiting -= 1;
    if (lane.entries.length > 0 || lane.isBusy) return;
    ready.delete(lane);
    lanes.delete(lane.key);
  };

  // Runs after the loops have ended.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true;
      for (const lane of lanes.values()) failAll(lane.entries, "Unavailable");
      // Whoever was interrupted between taking a batch and running it has not ended it.
      for (const batch of running) failAll(batch, "Unknown");
      lanes.clear();
      ready.clear();
    }),
  );

  const isolated = Batch.isolate(name, run);

  const runAndAnswer = Effect.fnUntraced(function* (batch: ReadonlyArray<Entry<I, A>>) {
    const exits = yield* isolated(batch.map((entry) => entry.item));
    for (const [index, exit] of exits.entries()) {
      const entry = batch[index];
      if (entry !== undefined) settle(entry, exit);
    }
  });

  const loop = Effect.gen(function* () {
    yield* some.await;
    const isEnough = enough.isOpen() || Option.isSome(yield* Effect.timeoutOption(enough.await, BESIDE_AFTER));
    // Beside another one there is time: whoever is being answered asks again in this turn.
    if (isEnough && running.size > 0) {
      yield* Effect.yieldNow;
      if (!enough.isOpen()) return;
    }
    const batch = take();
    // Another loop was faster.
    if (batch.length === 0) return;
    yield* Metric.update(batchSize, batch.length);
    yield* Effect.ensuring(runAndAnswer(batch), release(batch));
  }).pipe(Effect.forever);

  for (let index = 0; index < inFlightMax; index++) yield* Effect.forkScoped(loop);

  const closed = new StoreError({ reason: "Unavailable", operation: `${name}.submit`, message: `${name} was closed` });

  return {
    submit: (item) =>
      Effect.callback<A, Failure>((resume) => {
        if (isClosed) return resume(Effect.fail(closed));
        if (waiting >= capacity) return resume(Effect.fail(new MailboxFull({ mailbox: name, capacity })));
        const entry = put(item, resume);
        return Effect.sync(() => withdraw(entry));
      }),
    submitAll: (items) =>
      Effect.callback<ReadonlyArray<Exit.Exit<A, Failure>>>((resume) => {
        if (isClosed || items.length === 0) return resume(Effect.succeed(items.map(() => Exit.fail(closed))));
        const exits: Array<Exit.Exit<A, Failure>> = items.map(() => Exit.fail(closed));
        let open = items.length;
        const entries = items.map((item, index) =>
          put(item, (exit) => {
            exits[index] = exit;
            open -= 1;
            if (open === 0) resume(Effect.succeed(exits));
          }),
        );
        return Effect.sync(() => entries.forEach(withdraw));
      }),
  };
});

/** The first lanes, as many as there may be items. */
const nextLanes = <I, A>(ready: ReadonlySet<Lane<I, A>>, max: number): ReadonlyArray<Lane<I, A>> => {
  const found: Array<Lane<I, A>> = [];
  for (const lane of ready) {
    if (found.length === max) break;
    found.push(lane);
  }
  return found;
};

/** Takes from each lane in turn until there are `max`, or nothing is left. Costs what it takes, however much waits. */
const deal = <I, A>(lanes: ReadonlyArray<Lane<I, A>>, max: number): ReadonlyArray<Entry<I, A>> => {
  const batch: Array<Entry<I, A>> = [];
  let open = lanes;
  for (let round = 0; open.length > 0 && batch.length < max; round += 1) {
    // Fewer lanes than items: the first round serves every one.
    for (const { entries } of open.slice(0, max - batch.length)) {
      const entry = entries[round];
      if (entry !== undefined) batch.push(entry);
    }
    open = open.filter(({ entries }) => entries.length > round + 1);
  }
  for (const { lane } of batch) lane.taken += 1;
  for (const lane of lanes) {
    lane.entries.splice(0, lane.taken);
    lane.taken = 0;
  }
  return batch;
};
