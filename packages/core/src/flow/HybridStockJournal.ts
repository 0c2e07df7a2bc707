/**
 * Holds on their way from the log into the ledger: whatever waits in this process is one batch.
 *
 * - Bounded: above `JOURNAL_MAX` waiting holds of a generation nothing more is reserved in it, and who asks is told to come again.
 * - A hold is taken, or refused because the ledger has not the units (the log was stale: a new generation begins), or its
 *   generation is over: then this process is all that is left of it, and reserves just its lines again, whoever serves.
 * - What the ledger cannot keep is revoked: counted, and told at the order's commit (`HoldExpired`). It was never sold twice.
 * - What it refuses to look at (the order's record was damaged) is counted too, logged, and in nobody else's way.
 * - It is memory: with the process, holds that wait here are lost to the ledger. The log has them, until it ends.
 */
import { Clock, Duration, Effect, Latch, Metric, Result, type Scope } from "effect";
import type { OrderId } from "../domain/order/OrderId.ts";
import type { StockCommand } from "../domain/stock/StockCommand.ts";
import * as StockJournal from "../domain/stock/StockJournal.ts";
import type { Hold } from "../domain/stock/StockLedger.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { type BooksVerdict, StockBooks, type StockServing } from "../ports/StockBooks.ts";
import { StoreError } from "../ports/StoreError.ts";
import type { Shard } from "./HybridStockShard.ts";
import * as Mailbox from "./Mailbox.ts";
import * as Worker from "./Worker.ts";

/** Holds of one generation that wait, at most: a second of the ledger's rate, and lost with a process that dies. */
export const JOURNAL_MAX = 20_000;

/** How long a command waits for a hold of its order to be reserved again, in milliseconds: longer only without the ledger. */
const REGAIN_MS = 5_000;

/** Holds of one transaction. */
const BATCH_MAX = 512;

const length = Metric.gauge("saga_stock_journal_length", { description: "Holds that wait to be written to the ledger" });
const lag = Metric.gauge("saga_stock_journal_lag_seconds", { description: "Age of the hold that has waited longest to be written" });
const revoked = Metric.counter("saga_stock_holds_revoked_total", {
  description: "Holds that a log granted and the ledger could not keep",
  incremental: true,
});

/** `Over`: its generation is, and nothing was written. */
export type Outcome = StockJournal.Keeping | "Over";

export interface Journal {
  /** Fails with `Unavailable` while too many holds of this generation wait. Those of one that is over need room themselves. */
  readonly room: (serving: StockServing) => Effect.Effect<void, StoreError>;
  /** Granted in this generation, and not in the ledger yet. */
  readonly waiting: (serving: StockServing) => ReadonlyArray<Hold>;
  /**
   * Waits for holds of these orders that were granted in a generation that is over: until they are reserved again, or cannot be. Fails
   * with `Unavailable` if that takes long.
   */
  readonly regained: (serving: StockServing, orders: ReadonlySet<OrderId>) => Effect.Effect<void, StoreError>;
  /** Until they are in the ledger, or cannot be; one outcome each. */
  readonly write: (serving: StockServing, holds: ReadonlyArray<Hold>) => Effect.Effect<ReadonlyArray<Outcome>, StoreError>;
  /** Sees to it that they come into the ledger, in the background. */
  readonly send: (serving: StockServing, holds: ReadonlyArray<Hold>) => Effect.Effect<void>;
  /** As metrics. */
  readonly measure: Effect.Effect<void>;
}

interface Entry {
  readonly hold: Hold;
  readonly generation: number;
}

/** Holds that wait together, and since when. */
interface Waiting {
  readonly generation: number;
  readonly holds: ReadonlyArray<Hold>;
  readonly since: Timestamp;
  readonly done: Latch.Latch;
}

export interface Options {
  readonly shard: Shard;
  /** What follows from a batch that was written. */
  readonly heed: (serving: StockServing, verdict: Extract<BooksVerdict, { _tag: "Decided" }>) => Effect.Effect<void>;
  /** Takes commands as if they came from outside. */
  readonly reserve: (commands: ReadonlyArray<StockCommand>) => Effect.Effect<ReadonlyArray<Result.Result<unknown, unknown>>, StoreError>;
}

export const make = Effect.fnUntraced(function* ({
  shard,
  heed,
  reserve,
}: Options): Effect.fn.Return<Journal, never, StockBooks | Scope.Scope> {
  const books = yield* StockBooks;
  const scope = yield* Effect.scope;
  const waiting = new Set<Waiting>();
  const counts = new Map<number, number>();
  const countOf = (generation: number): number => counts.get(generation) ?? 0;
  const count = (): number => [...counts.values()].reduce((sum, each) => sum + each, 0);

  const run = Effect.fnUntraced(function* (entries: ReadonlyArray<Entry>): Effect.fn.Return<ReadonlyArray<Outcome>, StoreError> {
    const serving = yield* shard.serving;
    const holds = entries.flatMap(({ hold, generation }) => (generation === serving.generation ? [hold] : []));
    if (holds.length === 0) return entries.map((): Outcome => "Over");
    const verdict = yield* books.execute(serving.generation, { holds, commands: [] });
    if (verdict._tag === "Ended") {
      yield* shard.refresh;
      return entries.map((): Outcome => "Over");
    }
    yield* heed(serving, verdict);
    let next = 0;
    return entries.map(({ generation }): Outcome => (generation === serving.generation ? (verdict.keepings[next++] ?? "Over") : "Over"));
  });

  const mailbox = yield* Mailbox.make({
    name: "StockJournal",
    key: ({ hold }: Entry) => hold.orderId,
    inFlightMax: 1,
    batchMax: BATCH_MAX,
    run,
  });

  /** One outcome each. */
  const written = ({ generation }: StockServing, holds: ReadonlyArray<Hold>) =>
    Effect.map(mailbox.submitAll(holds.map((hold) => ({ hold, generation }))), (exits) =>
      exits.map((exit) => Effect.mapError(exit, toStoreError)),
    );

  const enter = (serving: StockServing, holds: ReadonlyArray<Hold>): Effect.Effect<Waiting> =>
    Effect.map(Clock.currentTimeMillis, (since) => {
      const entry = { generation: serving.generation, holds, since, done: Latch.makeUnsafe(false) };
      waiting.add(entry);
      counts.set(serving.generation, countOf(serving.generation) + holds.length);
      return entry;
    });

  const leave = (entry: Waiting): Effect.Effect<void> =>
    Effect.sync(() => {
      entry.done.openUnsafe();
      if (!waiting.delete(entry)) return;
      const left = countOf(entry.generation) - entry.holds.length;
      if (left > 0) counts.set(entry.generation, left);
      else counts.delete(entry.generation);
    });

  const asked = Effect.fnUntraced(function* (holds: ReadonlyArray<Hold>) {
    const now = yield* Clock.currentTimeMillis;
    const answers = yield* reserve(
      holds.map((hold) => ({ ...StockJournal.reserveOf(hold, Math.max(1, hold.until - now)), granted: hold.lines })),
    );
    return answers.filter(Result.isFailure).length;
  });

  /** How many could not be kept. */
  const again = (holds: ReadonlyArray<Hold>): Effect.Effect<number, StoreError> =>
    Effect.catchIf(asked(holds), isRefused, (error) =>
      holds.length === 1
        ? Effect.as(dropped(holds, error), 1)
        : Effect.map(
            Effect.forEach(holds, (hold) => again([hold])),
            (counts) => counts.reduce((sum, count) => sum + count, 0),
          ),
    );

  /** Until all is known of them, however long the ledger is away. */
  const insist = Effect.fnUntraced(function* (serving: StockServing, entry: Waiting): Effect.fn.Return<void, StoreError> {
    const outcomes = yield* Effect.forEach(yield* written(serving, entry.holds), (outcome, index) =>
      Effect.catchIf(outcome, isRefused, (error) => Effect.as(dropped(entry.holds.slice(index, index + 1), error), "Refused" as const)),
    );
    const over = entry.holds.filter((_, index) => outcomes[index] === "Over");
    const refused = outcomes.filter((outcome) => outcome === "Refused").length;
    yield* Metric.update(revoked, refused + (over.length === 0 ? 0 : yield* again(over)));
  });

  return {
    write: (serving, holds) => Effect.flatMap(written(serving, holds), Effect.all),
    send: Effect.fnUntraced(function* (serving, holds) {
      if (holds.length === 0) return;
      const entry = yield* enter(serving, holds);
      yield* Effect.forkIn(Effect.ensuring(insistently(insist(serving, entry)), leave(entry)), scope);
    }),
    waiting: ({ generation }) => [...waiting].flatMap((entry) => (entry.generation === generation ? entry.holds : [])),
    regained: ({ generation }, orders) =>
      Effect.suspend(() => {
        const late = [...waiting].filter(
          (entry) => entry.generation !== generation && entry.holds.some(({ orderId }) => orders.has(orderId)),
        );
        if (late.length === 0) return Effect.void;
        return Effect.timeoutOrElse(
          Effect.forEach(late, ({ done }) => done.await, { discard: true }),
          {
            duration: Duration.millis(REGAIN_MS),
            orElse: () => Effect.fail(unavailable(count())),
          },
        );
      }),
    room: ({ generation }) =>
      Effect.suspend(() => {
        const waits = countOf(generation);
        return waits < JOURNAL_MAX ? Effect.void : Effect.fail(unavailable(waits));
      }),
    measure: Effect.gen(function* () {
      yield* Metric.update(length, count());
      const [oldest] = waiting;
      yield* Metric.update(lag, oldest === undefined ? 0 : Math.max(0, (yield* Clock.currentTimeMillis) - oldest.since) / 1_000);
    }),
  };
});

const unavailable = (count: number): StoreError =>
  new StoreError({
    reason: "Unavailable",
    operation: "StockReservation.execute",
    message: `${count} holds wait to be written to the ledger`,
  });

/** Before it is tried again, in milliseconds; the mailbox has tried for seconds before. */
const insistently = (effect: Effect.Effect<void, StoreError>): Effect.Effect<void> =>
  effect.pipe(
    Effect.catch((error) =>
      Effect.logWarning(`holds wait to be written to the ledger: ${error.message}`).pipe(
        Effect.andThen(Effect.sleep(Duration.millis(Worker.PAUSE_MS))),
        Effect.andThen(Effect.suspend(() => insistently(effect))),
      ),
    ),
  );

const isRefused = ({ reason }: StoreError): boolean => reason === "Refused";

const dropped = (holds: ReadonlyArray<Hold>, { message }: StoreError): Effect.Effect<void> =>
  Effect.logError(
    `the hold of order ${holds.map(({ orderId }) => orderId).join()} is not written to the ledger: ${message}; reconcile the stock`,
  );

/** Nobody is refused for capacity here: it is the hold itself. */
const toStoreError = (error: Mailbox.Failure): StoreError =>
  error._tag === "StoreError" ? error : new StoreError({ reason: "Refused", operation: "StockJournal.write", message: error.message });
