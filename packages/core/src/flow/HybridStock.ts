/**
 * `StockReservation` from a fast log in front of a durable ledger: the log answers who asks for goods, the ledger keeps them.
 *
 * 1. Nothing is oversold, whatever becomes of the log: every hold, commit and return is decided in the ledger, under its
 *    constraints, in a transaction that checks who serves (`StockBooks`).
 * 2. `Reserve` is answered by the log. Its hold is in the ledger soon after (`durable: true`: before the answer). What the log
 *    lost before that is reserved again by the process that knows of it, before anything else about its order is decided there;
 *    or it costs a late `HoldExpired`.
 * 3. Everything else is the ledger's first. What it changed is noted there, told to the log, and the note forgotten: a process
 *    that dies in between leaves a note that another one tells.
 * 4. A log that says otherwise than the ledger, lost something, or is on another server than before, is not believed: a new
 *    generation begins from the ledger. One that does not answer is done without, until it does for a while.
 *
 * `execute` is refused with `Misuse` where the ledger cannot be asked: inside a transaction of its own database.
 *
 * `balances` are the log's, as far as it serves; `allBalances` the ledger's, which lag behind by what waits in the journal.
 * A `Reserve` repeated across a change of generation for an order whose hold had ended may be granted anew by the log; the
 * journal finds it and gives the units back. With `durable: true` the ledger's answer is given.
 */
import { Clock, Duration, Effect, Layer, Metric, Result, type Scope } from "effect";
import type { OrderId } from "../domain/order/OrderId.ts";
import type { StockCommand } from "../domain/stock/StockCommand.ts";
import type * as StockJournal from "../domain/stock/StockJournal.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import * as StockLedger from "../domain/stock/StockLedger.ts";
import { StockBooks, type StockServing } from "../ports/StockBooks.ts";
import { StockLog } from "../ports/StockLog.ts";
import { StockReservation } from "../ports/StockReservation.ts";
import type { StoreError } from "../ports/StoreError.ts";
import * as HybridStockGate from "./HybridStockGate.ts";
import * as HybridStockJournal from "./HybridStockJournal.ts";
import * as HybridStockShard from "./HybridStockShard.ts";
import * as HybridStockTeller from "./HybridStockTeller.ts";
import * as StockMailbox from "./StockMailbox.ts";
import * as Worker from "./Worker.ts";

export interface Options {
  /** Holds are in the ledger before the answer. Default: soon after it. */
  readonly durable?: boolean;
}

/** Rest between two looks at who serves, in milliseconds. */
export const WATCH_EVERY_MS = 250;

const { SHARD } = HybridStockShard;

const onGeneration = Metric.gauge("saga_stock_generation", { description: "The generation of the stock, as this process knows it" });
const onLog = Metric.gauge("saga_stock_log_serves", { description: "1: the log serves the stock; 0: the ledger does" });

export const make = Effect.fnUntraced(function* ({
  durable = false,
}: Options): Effect.fn.Return<StockReservation["Service"], never, StockBooks | StockLog | Scope.Scope> {
  const books = yield* StockBooks;
  const log = yield* StockLog;
  const shard = yield* HybridStockShard.make;
  const gate = yield* HybridStockGate.make;
  const teller = yield* HybridStockTeller.make(shard);
  const journal: HybridStockJournal.Journal = yield* HybridStockJournal.make({
    shard,
    heed: teller.heed,
    reserve: (commands): ReturnType<StockReservation["Service"]["execute"]> => fast(commands),
  });

  /** By the ledger, while it serves; null: it does not any more. */
  const byLedger = Effect.fnUntraced(function* (serving: StockServing, work: StockJournal.Work) {
    const verdict = yield* books.execute(serving.generation, work);
    if (verdict._tag === "Decided") return verdict;
    yield* shard.refresh;
    return null;
  });

  const looking = <A>(serving: StockServing, look: (view: StockLedger.StockView) => A) =>
    shard.ask(
      serving,
      Effect.map(log.read(SHARD, serving.generation), (view) => (view === null ? "Ended" : look(view))),
    );

  /** By the log; null: it does not serve any more, or the ledger knows better. */
  const byLog = Effect.fnUntraced(function* (serving: StockServing, commands: ReadonlyArray<StockCommand>) {
    yield* journal.room(serving);
    const decided = yield* shard.ask(
      serving,
      Effect.map(log.execute(SHARD, serving.generation, commands), (verdict) => (verdict._tag === "Ended" ? "Ended" : verdict)),
    );
    if (decided === null) return null;
    if (!durable) {
      yield* journal.send(serving, decided.writes.holds);
      const others = unwritten(commands, decided);
      if (others.size === 0) return decided.answers;
      // Granted before, maybe by a try whose answer was lost: nobody else may know of them.
      const before = yield* looking(serving, (view) => heldBy(view, others));
      if (before === null) return null;
      yield* journal.send(serving, before);
      return decided.answers;
    }
    // Those that were granted before, too: whoever was told of them may have died since.
    const holds = yield* looking(serving, (view) => heldBy(view, grantedIn(commands, decided.answers)));
    if (holds === null) return null;
    const outcomes = yield* journal.write(serving, holds);
    return outcomes.every((outcome) => outcome === "Kept") ? decided.answers : null;
  });

  const reserve = Effect.fnUntraced(function* (
    commands: ReadonlyArray<StockCommand>,
  ): Effect.fn.Return<ReadonlyArray<StockLedger.Answer>, StoreError> {
    for (;;) {
      const serving = yield* shard.serving;
      if (serving.server === null) {
        const verdict = yield* byLedger(serving, { holds: [], commands });
        if (verdict !== null) return verdict.answers;
        continue;
      }
      const answers = yield* gate.reserve(ordersOf(commands), byLog(serving, commands));
      if (answers !== null) return answers;
    }
  });

  /** What the log has of these orders, that the ledger may not have. */
  const concerned = Effect.fnUntraced(function* (serving: StockServing, commands: ReadonlyArray<StockCommand>, open: Effect.Effect<void>) {
    const now = yield* Clock.currentTimeMillis;
    const seen = yield* looking(serving, (view) => ({
      holds: heldBy(view, ordersOf(commands)),
      isTaking: commands.some((command) => mayTake(view, command, now)),
    }));
    if (seen === null) return null;
    if (seen.isTaking) return distinct([...seen.holds, ...journal.waiting(serving)]);
    yield* open;
    return seen.holds;
  });

  const settleOnce = Effect.fnUntraced(function* (commands: ReadonlyArray<StockCommand>, open: Effect.Effect<void>) {
    const serving = yield* shard.serving;
    const holds = serving.server === null ? [] : yield* concerned(serving, commands, open);
    if (holds === null) return null;
    const verdict = yield* byLedger(serving, { holds, commands });
    if (verdict === null) return null;
    yield* teller.heed(serving, verdict);
    return verdict.answers;
  });

  const settle = Effect.fnUntraced(function* (
    commands: ReadonlyArray<StockCommand>,
  ): Effect.fn.Return<ReadonlyArray<StockLedger.Answer>, StoreError> {
    for (;;) {
      // Before the gate: they go through it to be reserved again.
      yield* journal.regained(yield* shard.serving, ordersOf(commands));
      const answers = yield* gate.settle(ordersOf(commands), (open) => settleOnce(commands, open));
      if (answers !== null) return answers;
    }
  });

  const fast = yield* StockMailbox.make("HybridStock.reserve", reserve);
  const slow = yield* StockMailbox.make("HybridStock.settle", settle);

  const reading = <A>(
    question: (serving: StockServing) => Effect.Effect<A | "Ended", StoreError>,
    otherwise: Effect.Effect<A, StoreError>,
  ) =>
    Effect.gen(function* () {
      const serving = yield* shard.serving;
      const answer = serving.server === null ? null : yield* shard.ask(serving, question(serving));
      return answer ?? (yield* otherwise);
    });

  const watch = Effect.gen(function* () {
    const serving = yield* shard.refresh;
    if (serving.server === null) yield* shard.probe(serving);
    else yield* teller.catchUp(serving);
    yield* journal.measure;
    yield* Metric.update(onGeneration, serving.generation);
    yield* Metric.update(onLog, serving.server === null ? 0 : 1);
  });
  // Once before anybody asks, so that the log serves from the beginning; whatever is away is looked for again.
  yield* Effect.ignore(watch);
  yield* Effect.forkScoped(Worker.forever("HybridStock", Effect.andThen(Effect.sleep(Duration.millis(WATCH_EVERY_MS)), watch)));

  return {
    execute: Effect.fn("StockReservation.execute")(function* (commands) {
      yield* books.outside;
      const answers: Array<ReadonlyArray<StockLedger.Answer>> = [];
      for (const run of runsOf(commands)) answers.push(yield* run[0]?._tag === "Reserve" ? fast(run) : slow(run));
      return answers.flat();
    }),
    balances: Effect.fn("StockReservation.balances")((skus) =>
      reading(
        ({ generation }) =>
          Effect.map(log.read(SHARD, generation), (view) => {
            if (view === null) return "Ended";
            const known = skus.flatMap((sku) => view.skus.get(sku) ?? []);
            return new Map(known.map((each) => [each.sku, StockLedger.balanceOf(each)]));
          }),
        books.balances(skus),
      ),
    ),
    allBalances: books.allBalances,
    expired: Effect.fn("StockReservation.expired")(function* (max) {
      const logged = yield* reading<ReadonlyArray<OrderId>>(
        ({ generation }) => Effect.map(log.expired(SHARD, generation, max), (orders) => orders ?? "Ended"),
        Effect.succeed([]),
      );
      return [...new Set([...logged, ...(yield* books.expired(max))])].slice(0, max);
    }),
  };
});

export const layerWith = (options: Options): Layer.Layer<StockReservation, never, StockBooks | StockLog> =>
  Layer.effect(StockReservation, make(options));

export const layer: Layer.Layer<StockReservation, never, StockBooks | StockLog> = layerWith({});

const ordersOf = (commands: ReadonlyArray<StockCommand>): ReadonlySet<OrderId> =>
  new Set(commands.flatMap((command) => (command._tag === "Adjust" ? [] : [command.orderId])));

const grantedIn = (commands: ReadonlyArray<StockCommand>, answers: ReadonlyArray<StockLedger.Answer>): ReadonlySet<OrderId> =>
  ordersOf(
    commands.filter((_, index) => {
      const answer = answers[index];
      return answer !== undefined && Result.isSuccess(answer);
    }),
  );

/** Orders that were granted, and not by these writes. */
const unwritten = (
  commands: ReadonlyArray<StockCommand>,
  { answers, writes }: Pick<StockLedger.Batch, "answers" | "writes">,
): ReadonlySet<OrderId> => {
  // As nearly always: all of them were, or refused.
  if (writes.holds.length === answers.length) return NOBODY;
  const others = new Set(grantedIn(commands, answers));
  for (const { orderId } of writes.holds) others.delete(orderId);
  return others;
};

const NOBODY: ReadonlySet<OrderId> = new Set();

const heldBy = (view: StockLedger.StockView, orders: ReadonlySet<OrderId>): ReadonlyArray<StockLedger.Hold> =>
  [...orders].flatMap((orderId) => {
    const hold = view.holds.get(orderId);
    return hold === undefined || hold.status !== "held" ? [] : [hold];
  });

/** A hold that ends so soon, in milliseconds, may be over when it is committed. */
const ALMOST_OVER_MS = 1_000;

/** It may take units that the log has promised to somebody else: goods counted out, a commit whose hold is over. */
const mayTake = (view: StockLedger.StockView, command: StockCommand, now: Timestamp): boolean => {
  if (command._tag === "Adjust") return command.delta < 0;
  if (command._tag !== "Commit") return false;
  const hold = view.holds.get(command.orderId);
  if (hold === undefined || hold.status === "lapsed") return true;
  return hold.status === "held" && hold.until <= now + ALMOST_OVER_MS;
};

const distinct = (holds: ReadonlyArray<StockLedger.Hold>): ReadonlyArray<StockLedger.Hold> => [
  ...new Map(holds.map((hold) => [hold.orderId, hold])).values(),
];

/** Neighbours that the same engine decides, in order. */
const runsOf = (commands: ReadonlyArray<StockCommand>): ReadonlyArray<ReadonlyArray<StockCommand>> => {
  const runs: Array<Array<StockCommand>> = [];
  for (const command of commands) {
    const last = runs.at(-1);
    if (last !== undefined && (last[0]?._tag === "Reserve") === (command._tag === "Reserve")) last.push(command);
    else runs.push([command]);
  }
  return runs;
};
