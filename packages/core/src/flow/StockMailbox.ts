/**
 * What the engines of `StockReservation` share: group commit. All calls that wait in this process are one batch; each caller
 * gets its own answers.
 *
 * - At rest a batch is one call, run at once. Under load it is whatever came while the ones before it were running; of a load for
 *   several in flight each takes its share, so that all of them are as large.
 * - Calls of a kind are taken in the order they came, and a call is never divided: its commands stay in order. With one batch in flight
 *   at a time that is the order in which they are decided, too.
 * - Bounded: above `CAPACITY` waiting commands a call fails at once with `Unavailable`, and nothing happens.
 * - A caller that is interrupted before its batch has begun takes its call back: nothing happens. Afterwards it runs to its end.
 * - Nobody waits for ever: what a closed mailbox had not begun fails with `Unavailable`, what it was running with `Unknown`.
 * - A poisonous call fails alone, an outage fails nobody's neighbour: see `Batch`.
 *
 * It is `Mailbox` without keys, because a reservation has many: without lanes, and without a span for each call, it takes a
 * fraction of the time (measured: docs/decisions/0005-stock-engines.md).
 */
import { Effect, Exit, Latch, Metric, Result, type Scope } from "effect";
import type { StockCommand } from "../domain/stock/StockCommand.ts";
import type { Answer } from "../domain/stock/StockLedger.ts";
import type { StockReservation } from "../ports/StockReservation.ts";
import { StoreError } from "../ports/StoreError.ts";
import * as Batch from "./Batch.ts";

export interface Options {
  /** Batches running at a time; 1 by default. More only for an engine whose batches do not wait for each other's end. */
  readonly inFlightMax?: number;
  /** Calls of different kinds are not run in one batch; they do not wait in one order, either. All are of one kind by default. */
  readonly kind?: (commands: ReadonlyArray<StockCommand>) => string;
}

/** Commands waiting, at most: what a fast engine answers in a second. Nobody waits longer for a sale. */
export const CAPACITY = 100_000;

/** Commands of one batch, unless one call has more: beyond some hundreds nothing is gained (measured), and locks are held longer. */
export const BATCH_MAX = 512;

/** `run` decides and writes a batch; it may be run again with the same commands. */
export const make = Effect.fnUntraced(function* <R>(
  name: string,
  run: (commands: ReadonlyArray<StockCommand>) => Effect.Effect<ReadonlyArray<Answer>, StoreError, R>,
  options: Options = {},
): Effect.fn.Return<StockReservation["Service"]["execute"], never, R | Scope.Scope> {
  const { inFlightMax = 1, kind = () => "" } = options;
  const queue = new Queue(inFlightMax);
  const counted = (commands: ReadonlyArray<StockCommand>) => Effect.tap(run(commands), (answers) => countConflicts(commands, answers));
  const isolated = Batch.isolate(name, (calls: ReadonlyArray<Call>) => {
    const [only] = calls;
    if (calls.length === 1 && only !== undefined) return Effect.map(counted(only.commands), (answers) => [answers]);
    return Effect.map(counted(calls.flatMap((call) => call.commands)), (answers) => divide(calls, answers));
  });

  yield* Effect.addFinalizer(() => Effect.sync(() => queue.close()));
  const pass = Effect.gen(function* () {
    yield* queue.ready.await;
    // Beside another one there is time: whoever is being answered asks again in this turn.
    if (queue.isRunning) yield* Effect.yieldNow;
    const batch = queue.take();
    // Another loop was faster.
    if (batch.length === 0) return;
    const answered = Effect.map(isolated(batch), (exits) => {
      for (const [index, exit] of exits.entries()) batch[index]?.settle(exit);
    });
    yield* Effect.ensuring(
      answered,
      Effect.sync(() => queue.done(batch)),
    );
  });
  for (let index = 0; index < inFlightMax; index++) yield* Effect.forkScoped(Effect.forever(pass, { disableYield: true }));

  return (commands) =>
    commands.length === 0
      ? Effect.succeed([])
      : Effect.callback((resume) => {
          const call = new Call(commands, kind(commands), resume);
          queue.put(call);
          return Effect.sync(() => queue.withdraw(call));
        });
});

const OPERATION = "StockReservation.execute";

const conflicts = Metric.counter("saga_stock_commit_conflicts_total", {
  description: "Commits of holds that had ended, and whose units went to somebody else",
  incremental: true,
});

/** Orders that waited for their payment too long, or whose hold was lost: the saga compensates them. */
const countConflicts = (commands: ReadonlyArray<StockCommand>, answers: Answers): Effect.Effect<void> => {
  let count = 0;
  for (const [index, command] of commands.entries()) {
    if (command._tag !== "Commit") continue;
    const answer = answers[index];
    const isLost = answer !== undefined && Result.isFailure(answer) && CONFLICT.has(answer.failure._tag);
    if (isLost) count += 1;
  }
  return count === 0 ? Effect.void : Metric.update(conflicts, count);
};

const CONFLICT: ReadonlySet<string> = new Set(["HoldExpired", "HoldNotFound"]);

type Answers = ReadonlyArray<Answer>;

class Call {
  readonly commands: ReadonlyArray<StockCommand>;
  readonly kind: string;
  #resume: ((answers: Effect.Effect<Answers, StoreError>) => void) | null;

  constructor(commands: ReadonlyArray<StockCommand>, kind: string, resume: (answers: Effect.Effect<Answers, StoreError>) => void) {
    this.commands = commands;
    this.kind = kind;
    this.#resume = resume;
  }

  /** The first one counts. */
  settle(exit: Exit.Exit<Answers, Batch.Failure>): void {
    const resume = this.#resume;
    this.#resume = null;
    resume?.(Exit.isSuccess(exit) ? Effect.succeed(exit.value) : Effect.mapError(exit, toStoreError));
  }

  fail(reason: "Unavailable" | "Unknown", message: string): void {
    // Most have their answer, and an error costs more than a command (measured: a fifth of the time).
    if (this.#resume !== null) this.settle(Exit.fail(new StoreError({ reason, operation: OPERATION, message })));
  }
}

class Queue {
  /** Open while a batch may begin. */
  readonly ready = Latch.makeUnsafe(false);
  #calls: Array<Call> = [];
  /** Commands of `#calls`. */
  #waiting = 0;
  /** Batches that run, and how many commands each has. */
  readonly #running = new Map<ReadonlyArray<Call>, number>();
  #isClosed = false;
  readonly #inFlightMax: number;

  constructor(inFlightMax: number) {
    this.#inFlightMax = inFlightMax;
  }

  get isRunning(): boolean {
    return this.#running.size > 0;
  }

  put(call: Call): void {
    if (this.#isClosed) return call.fail("Unavailable", "the engine was closed");
    if (this.#waiting >= CAPACITY) return call.fail("Unavailable", `${CAPACITY} commands are waiting: try again later`);
    this.#calls.push(call);
    this.#waiting += call.commands.length;
    this.#tell();
  }

  /** The oldest call, and those of its kind behind it. */
  take(): ReadonlyArray<Call> {
    const [oldest] = this.#calls;
    if (oldest === undefined || !this.#isReady) return [];
    let load = this.#waiting;
    for (const count of this.#running.values()) load += count;
    const max = Batch.shareOf(load, this.#inFlightMax, BATCH_MAX);
    const batch: Array<Call> = [];
    const passed: Array<Call> = [];
    let commands = 0;
    let seen = 0;
    for (const call of this.#calls) {
      const isOurs = call.kind === oldest.kind;
      if (isOurs && batch.length > 0 && commands + call.commands.length > max) break;
      seen += 1;
      if (isOurs) commands += call.commands.length;
      (isOurs ? batch : passed).push(call);
    }
    this.#calls = passed.concat(this.#calls.slice(seen));
    this.#waiting -= commands;
    this.#running.set(batch, commands);
    this.#tell();
    return batch;
  }

  done(batch: ReadonlyArray<Call>): void {
    for (const call of batch) call.fail("Unknown", "the engine was closed");
    this.#running.delete(batch);
    this.#tell();
  }

  /** Takes back what has not begun. Rare: nobody searches for its place before. */
  withdraw(call: Call): void {
    const place = this.#calls.indexOf(call);
    if (place < 0) return;
    this.#calls.splice(place, 1);
    this.#waiting -= call.commands.length;
    this.#tell();
  }

  close(): void {
    this.#isClosed = true;
    for (const call of this.#calls) call.fail("Unavailable", "the engine was closed");
    this.#calls = [];
    this.#waiting = 0;
    // Whoever was interrupted between taking a batch and running it has not ended it.
    for (const batch of this.#running.keys()) this.done(batch);
  }

  get #isReady(): boolean {
    return this.#waiting >= (this.#running.size === 0 ? 1 : Batch.BESIDE_MIN);
  }

  #tell(): void {
    if (this.#isReady) this.ready.openUnsafe();
    else this.ready.closeUnsafe();
  }
}

/** Each call's own answers. */
const divide = (calls: ReadonlyArray<Call>, answers: Answers): ReadonlyArray<Answers> => {
  let from = 0;
  return calls.map(({ commands }) => {
    const own = answers.slice(from, from + commands.length);
    from += commands.length;
    return own;
  });
};

const toStoreError = (error: Batch.Failure): StoreError =>
  error._tag === "StoreError" ? error : new StoreError({ reason: "Refused", operation: OPERATION, message: error.message });
