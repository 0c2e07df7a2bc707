/** What every `StockLog` has to prove: it decides as the ledger does, and a generation that has ended never grants again. */
import { Effect, Result } from "effect";
import { OrderId } from "../../domain/order/OrderId.ts";
import { Quantity, Sku } from "../../domain/stock/Sku.ts";
import type { StockCommand } from "../../domain/stock/StockCommand.ts";
import * as StockLedger from "../../domain/stock/StockLedger.ts";
import { type LogVerdict, StockLog } from "../../ports/StockLog.ts";
import * as Contract from "../Contract.ts";

type Log = StockLog["Service"];

const apple = Sku.make("apple");
const receive = (units: number, id = "first"): StockCommand => ({ _tag: "Adjust", id, sku: apple, delta: units });
const reserve = (name: string, quantity = 1, ttlMillis = 60_000): StockCommand => ({
  _tag: "Reserve",
  orderId: OrderId.make(name),
  lines: [{ sku: apple, quantity: Quantity.make(quantity) }],
  ttlMillis,
});
const about = (_tag: "Commit" | "Release" | "Expire", name: string): StockCommand => ({ _tag, orderId: OrderId.make(name) });

const words = (verdict: LogVerdict): ReadonlyArray<string> =>
  verdict._tag === "Ended"
    ? ["Ended"]
    : verdict.answers.map((answer) => (Result.isSuccess(answer) ? answer.success._tag : answer.failure._tag));

/** Books without their date. */
const booksOf = (view: StockLedger.StockView | null): unknown => {
  const books = view?.skus.get(apple);
  return books === undefined ? undefined : { onHand: books.onHand, held: books.held, committed: books.committed };
};

/** A case on a shard of its own: there are few enough of them, and a name is drawn for each. */
const on = (name: string, run: (log: Log, shard: number) => Effect.Effect<void, unknown>): Contract.Case<StockLog> =>
  Contract.check(
    name,
    Effect.gen(function* () {
      const drawn = yield* Contract.unique("shard");
      yield* run(yield* StockLog, Number.parseInt(drawn.slice(-7), 16));
    }),
  );

const UNITS = 50;
const BUYERS = 200;

export const cases: ReadonlyArray<Contract.Case<StockLog>> = [
  on("grants nothing in a generation that nobody opened", (log, shard) =>
    Effect.gen(function* () {
      yield* Contract.equal(words(yield* log.execute(shard, 1, [receive(5)])), ["Ended"]);
      yield* Contract.equal(yield* log.read(shard, 1), null);
      yield* Contract.equal(yield* log.expired(shard, 1, 1), null);
    }),
  ),
  on("decides each command on what those before it left, and tells the new values", (log, shard) =>
    Effect.gen(function* () {
      yield* Contract.equal(yield* log.open(shard, 1, StockLedger.empty), "Opened");
      const verdict = yield* log.execute(shard, 1, [receive(3), reserve("a", 2), reserve("b", 2), about("Commit", "a")]);
      yield* Contract.equal(words(verdict), ["Adjusted", "Reserved", "OutOfStock", "Committed"]);
      if (verdict._tag === "Ended") return yield* Contract.fail("it has ended");
      yield* Contract.equal(
        verdict.writes.holds.map((hold) => [hold.orderId, hold.status]),
        [["a", "committed"]],
        "written holds",
      );
      yield* Contract.equal(booksOf(yield* log.read(shard, 1)), { onHand: 3, held: 0, committed: 2 }, "books");
      yield* Contract.equal(words(yield* log.execute(shard, 1, [reserve("a", 2), receive(3)])), ["Reserved", "Adjusted"], "again");
      yield* Contract.equal(booksOf(yield* log.read(shard, 1)), { onHand: 3, held: 0, committed: 2 }, "books after a repetition");
    }),
  ),
  on("begins a generation with the state it is given, once", (log, shard) =>
    Effect.gen(function* () {
      const { writes } = StockLedger.decideBatch(StockLedger.empty, [receive(9), reserve("kept", 4)], 1);
      const view = StockLedger.patch(StockLedger.empty, writes);
      yield* Contract.equal(yield* log.open(shard, 4, view), "Opened");
      yield* log.execute(shard, 4, [reserve("later", 3)]);
      yield* Contract.equal(yield* log.open(shard, 4, view), "Opened", "opened again");
      yield* Contract.equal(booksOf(yield* log.read(shard, 4)), { onHand: 9, held: 7, committed: 0 }, "books");
      yield* Contract.equal((yield* log.read(shard, 4))?.holds.get(OrderId.make("kept"))?.status, "held", "the hold it began with");
    }),
  ),
  on("ends a generation for good when a greater one is opened", (log, shard) =>
    Effect.gen(function* () {
      yield* log.open(shard, 1, StockLedger.empty);
      yield* log.execute(shard, 1, [receive(5), reserve("lost", 5)]);
      const { writes } = StockLedger.decideBatch(StockLedger.empty, [receive(2)], 1);
      yield* Contract.equal(yield* log.open(shard, 2, StockLedger.patch(StockLedger.empty, writes)), "Opened");
      yield* Contract.equal(words(yield* log.execute(shard, 1, [about("Release", "lost")])), ["Ended"], "the old one");
      yield* Contract.equal(yield* log.read(shard, 1), null, "the old one, read");
      yield* Contract.equal(yield* log.open(shard, 1, StockLedger.empty), "Ended", "the old one, opened again");
      yield* Contract.equal(booksOf(yield* log.read(shard, 2)), { onHand: 2, held: 0, committed: 0 }, "books");
      yield* Contract.equal(words(yield* log.execute(shard, 2, [reserve("lost", 5), reserve("new", 2)])), ["OutOfStock", "Reserved"]);
    }),
  ),
  on("keeps its shards apart", (log, shard) =>
    Effect.gen(function* () {
      yield* log.open(shard, 1, StockLedger.empty);
      yield* log.open(shard + 1, 1, StockLedger.empty);
      yield* log.execute(shard, 1, [receive(5)]);
      yield* Contract.equal(words(yield* log.execute(shard + 1, 1, [reserve("a")])), ["UnknownSku"]);
    }),
  ),
  on("lists what is due by its clock, oldest first, until it is expired", (log, shard) =>
    Effect.gen(function* () {
      yield* log.open(shard, 1, StockLedger.empty);
      yield* log.execute(shard, 1, [receive(9), reserve("late", 1, 9), reserve("soon", 1, 1), reserve("next", 1, 5), reserve("alive")]);
      yield* Contract.wait(20);
      yield* Contract.equal(yield* log.expired(shard, 1, 9), ["soon", "next", "late"]);
      yield* Contract.equal(yield* log.expired(shard, 1, 2), ["soon", "next"], "two of them");
      yield* log.execute(shard, 1, [about("Expire", "soon"), about("Commit", "next")]);
      yield* Contract.equal(yield* log.expired(shard, 1, 9), ["late"], "what is left");
    }),
  ),
  on(`lets exactly ${UNITS} of ${BUYERS} concurrent buyers win ${UNITS} units`, (log, shard) =>
    Effect.gen(function* () {
      yield* log.open(shard, 1, StockLedger.empty);
      yield* log.execute(shard, 1, [receive(UNITS)]);
      const verdicts = yield* Effect.forEach(
        Array.from({ length: BUYERS }, (_, buyer) => `b${buyer}`),
        (name) => log.execute(shard, 1, [reserve(name)]),
        { concurrency: "unbounded" },
      );
      yield* Contract.equal(verdicts.filter((verdict) => words(verdict)[0] === "Reserved").length, UNITS, "winners");
      yield* Contract.equal(booksOf(yield* log.read(shard, 1)), { onHand: UNITS, held: UNITS, committed: 0 }, "books");
    }),
  ),
  on("knows its server", (log) =>
    Effect.gen(function* () {
      const server = yield* log.server;
      yield* Contract.isTrue(server.runId.length > 0 && server.replicationId.length > 0, "it has a name");
      yield* Contract.equal(yield* log.server, server, "asked again");
    }),
  ),
];
