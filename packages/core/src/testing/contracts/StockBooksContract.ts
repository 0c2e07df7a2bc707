/**
 * The contract of `StockBooks`. Who serves is one for the whole store: each case begins a generation of its own, and cases of
 * one store run one after another.
 */
import { Effect } from "effect";
import { OrderId } from "../../domain/order/OrderId.ts";
import { Sku } from "../../domain/stock/Sku.ts";
import type { StockCommand } from "../../domain/stock/StockCommand.ts";
import type { Told } from "../../domain/stock/StockJournal.ts";
import type { Hold, StockView } from "../../domain/stock/StockLedger.ts";
import { type BooksVerdict, StockBooks, type StockServing } from "../../ports/StockBooks.ts";
import type { StoreError } from "../../ports/StoreError.ts";
import * as Contract from "../Contract.ts";
import { line, same, word } from "./StockShop.ts";

const SERVER = { runId: "run", replicationId: "replication" };

/** More than a case leaves behind. */
const NOTES_MAX = 1_000;

type Decided = Extract<BooksVerdict, { _tag: "Decided" }>;

interface Desk {
  readonly books: StockBooks["Service"];
  readonly serving: StockServing;
  readonly sku: Sku;
  readonly order: (name: string) => OrderId;
  /** A hold that a log granted. */
  readonly hold: (name: string, quantity: number) => Hold;
  readonly about: (tag: "Commit" | "Release" | "Expire", name: string) => Told;
  readonly run: (
    holds: ReadonlyArray<Hold>,
    commands: ReadonlyArray<StockCommand>,
  ) => Effect.Effect<Decided, StoreError | Contract.Violation>;
  readonly counts: Effect.Effect<ReadonlyArray<number>, StoreError | Contract.Violation>;
}

const GRANTED_AT = 1_000;
/** In the year 5138. */
const UNTIL = 100_000_000_000_000;

const begin = Effect.fnUntraced(function* (books: StockBooks["Service"], server: StockServing["server"]) {
  const before = yield* books.serving;
  const won = yield* books.change(before.generation, server);
  return won === null ? yield* Contract.fail("nobody else changes who serves") : { ...won, before };
});

/** Ten units of a SKU of its own, and a log that serves. */
const open = Effect.fnUntraced(function* (): Effect.fn.Return<Desk, StoreError | Contract.Violation, StockBooks> {
  const books = yield* StockBooks;
  const tag = yield* Contract.unique("books");
  const { serving } = yield* begin(books, SERVER);
  const sku = Sku.make(tag);
  const order = (name: string): OrderId => OrderId.make(`${tag}-${name}`);
  const run: Desk["run"] = (holds, commands) =>
    Effect.flatMap(books.execute(serving.generation, { holds, commands }), (verdict) =>
      verdict._tag === "Decided" ? Effect.succeed(verdict) : Contract.fail("this generation serves"),
    );
  yield* run([], [{ _tag: "Adjust", id: tag, sku, delta: 10 }]);
  return {
    books,
    serving,
    sku,
    order,
    run,
    hold: (name, quantity) => ({
      orderId: order(name),
      status: "held",
      lines: [line(sku, quantity)],
      until: UNTIL,
      reason: null,
      reservedAt: GRANTED_AT,
      at: GRANTED_AT,
    }),
    about: (tagged, name) => ({ _tag: tagged, orderId: order(name) }),
    counts: Effect.flatMap(books.balances([sku]), (balances) => {
      const balance = balances.get(sku);
      return balance === undefined
        ? Contract.fail("the SKU is not known")
        : Effect.succeed([balance.onHand, balance.held, balance.committed, balance.available]);
    }),
  };
});

const sentence = (name: string, run: (desk: Desk) => Effect.Effect<void, StoreError | Contract.Violation>): Contract.Case<StockBooks> =>
  Contract.check(name, Effect.flatMap(open(), run));

const statusIn = (view: StockView, order: OrderId): string | undefined => view.holds.get(order)?.status;

export const cases: ReadonlyArray<Contract.Case<StockBooks>> = [
  sentence("lets one of many change who serves, and only from what serves now", ({ books, serving }) =>
    Effect.gen(function* () {
      const changes = yield* Effect.replicateEffect(books.change(serving.generation, null), 5, { concurrency: "unbounded" });
      yield* same(changes.filter((change) => change !== null).length, 1, "winners");
      const now = yield* books.serving;
      yield* Contract.isTrue(now.generation > serving.generation, "a greater generation");
      yield* same(now.server, null);
      const next = yield* begin(books, SERVER);
      yield* same(next.serving.server, SERVER);
      yield* same(yield* books.change(serving.generation, null), null, "from a generation that is over");
      yield* same(yield* books.serving, next.serving);
    }),
  ),
  sentence("refuses what was decided in a generation that is over, and writes nothing of it", ({ books, serving, hold, about, counts }) =>
    Effect.gen(function* () {
      yield* begin(books, null);
      const verdict = yield* books.execute(serving.generation, { holds: [hold("o", 1)], commands: [about("Release", "other")] });
      yield* same(verdict, { _tag: "Ended" });
      yield* same(yield* counts, [10, 0, 0, 10]);
    }),
  ),
  sentence("takes a hold as the log granted it, once", ({ run, hold, about, counts, order, sku }) =>
    Effect.gen(function* () {
      yield* same((yield* run([hold("o", 3)], [])).keepings, ["Kept"]);
      yield* same((yield* run([hold("o", 3)], [])).keepings, ["Kept"], "again");
      yield* same(yield* counts, [10, 3, 0, 7]);
      const { answers } = yield* run([], [{ _tag: "Reserve", orderId: order("o"), lines: [line(sku, 3)], ttlMillis: 1 }]);
      yield* same(
        answers.map((answer) => (answer._tag === "Success" && "until" in answer.success ? answer.success.until : 0)),
        [UNTIL],
      );
      yield* run([], [about("Release", "o")]);
      yield* same((yield* run([hold("o", 3)], [])).keepings, ["Kept"], "it was; it has ended since");
      yield* same(yield* counts, [10, 0, 0, 10]);
    }),
  ),
  sentence("takes a hold before the commands that are about it", ({ run, hold, about, counts }) =>
    Effect.gen(function* () {
      const { answers, note } = yield* run([hold("o", 3)], [about("Commit", "o")]);
      yield* same(answers.map(word), ["Committed"]);
      yield* same(note?.commands, [about("Commit", "o")], "what the log hears");
      yield* same(yield* counts, [10, 0, 3, 7]);
    }),
  ),
  sentence("revokes a hold whose units are not there, and notes no command that would mend that", ({ run, hold, about, counts }) =>
    Effect.gen(function* () {
      const { keepings, isTellable, note } = yield* run([hold("a", 8), hold("b", 3)], []);
      yield* same(keepings, ["Kept", "Refused"]);
      yield* same(isTellable, false);
      yield* same(note?.commands, []);
      yield* same(yield* counts, [10, 8, 0, 2]);
      yield* same((yield* run([hold("b", 3)], [])).keepings, ["Refused"], "again");
      yield* same((yield* run([], [about("Commit", "b")])).answers.map(word), ["HoldExpired"]);
    }),
  ),
  sentence(
    "leaves the word that holds were revoked, and no command that would revoke others",
    ({ books, serving, run, hold, about, sku }) =>
      Effect.gen(function* () {
        const count: StockCommand = { _tag: "Adjust", id: `${sku}-count`, sku, delta: -9 };
        const { answers, isTellable, note } = yield* run([hold("a", 2), hold("b", 1)], [about("Commit", "b"), count]);
        yield* same(answers.map(word), ["Committed", "Adjusted"]);
        yield* same(isTellable, false);
        const left = (yield* books.untold(serving.generation, 0, NOTES_MAX)).filter(({ id }) => id === note?.id);
        yield* same(
          left.map(({ commands }) => commands),
          [[]],
        );
      }),
  ),
  sentence("has the log take back a hold of an order that had been released", ({ run, hold, about, counts }) =>
    Effect.gen(function* () {
      yield* run([], [about("Release", "o")]);
      const { keepings, note } = yield* run([hold("o", 3)], []);
      yield* same(keepings, ["Ended"]);
      yield* same(note?.commands, [about("Release", "o")]);
      yield* same(yield* counts, [10, 0, 0, 10]);
    }),
  ),
  sentence("notes what the log has to hear, until it is forgotten", ({ books, serving, run, hold, about }) =>
    Effect.gen(function* () {
      const { note } = yield* run([hold("o", 1)], [about("Commit", "o"), about("Commit", "o"), about("Release", "ghost")]);
      const untold = Effect.map(books.untold(serving.generation, 0, NOTES_MAX), (notes) => notes.filter(({ id }) => id === note?.id));
      yield* same(yield* untold, note === null ? [] : [note]);
      yield* same(note?.commands, [about("Commit", "o"), about("Release", "ghost")], "what changed something");
      yield* same((yield* books.untold(serving.generation, 60_000, NOTES_MAX)).length, 0, "older than a minute");
      yield* same((yield* books.untold(serving.generation, 0, 1)).length, 1, "at most");
      yield* books.forget(note === null ? [] : [note.id]);
      yield* same(yield* untold, []);
      yield* same((yield* run([], [about("Commit", "o")])).note, null, "nothing changed");
    }),
  ),
  sentence("tells the log until when a hold was renewed, by the ledger's clock", ({ run, hold, order }) =>
    Effect.gen(function* () {
      const renew: Told = { _tag: "Renew", orderId: order("o"), ttlMillis: 60_000 };
      const { answers, note } = yield* run([hold("o", 1)], [renew]);
      const untils = answers.map((answer) => (answer._tag === "Success" && "until" in answer.success ? answer.success.until : 0));
      yield* same(note?.commands, [{ ...renew, until: untils[0] ?? 0 }]);
      yield* Contract.isTrue(untils[0] !== UNTIL, "another end");
    }),
  ),
  sentence("notes nothing while the ledger serves, and ends the notes with their generation", ({ books, serving, run, hold, about }) =>
    Effect.gen(function* () {
      yield* run([hold("o", 1)], [about("Commit", "o")]);
      const { serving: next } = yield* begin(books, null);
      yield* same(yield* books.untold(serving.generation, 0, NOTES_MAX), []);
      const verdict = yield* books.execute(next.generation, { holds: [], commands: [about("Release", "o")] });
      yield* same(verdict._tag === "Decided" ? verdict.note : verdict, null);
    }),
  ),
  sentence("hands over what is held, promised and has ended, and the books", ({ books, run, hold, about, order, sku }) =>
    Effect.gen(function* () {
      yield* run([hold("held", 1), hold("promised", 2), hold("ended", 3)], [about("Commit", "promised"), about("Release", "ended")]);
      const { view } = yield* begin(books, SERVER);
      yield* same(
        ["held", "promised", "ended"].map((name) => statusIn(view, order(name))),
        ["held", "committed", "released"],
      );
      const { onHand, held, committed } = view.skus.get(sku) ?? { onHand: 0, held: 0, committed: 0 };
      yield* same([onHand, held, committed], [10, 1, 2]);
    }),
  ),
  sentence("hands over what all writes of the generation before have left", ({ books, serving, hold, sku }) =>
    Effect.gen(function* () {
      const writes = Array.from({ length: 8 }, (_, index) =>
        books.execute(serving.generation, { holds: [hold(`o${index}`, 1)], commands: [] }),
      );
      const [change, verdicts] = yield* Effect.all(
        [books.change(serving.generation, null), Effect.all(writes, { concurrency: "unbounded" })],
        {
          concurrency: "unbounded",
        },
      );
      const taken = verdicts.filter(({ _tag }) => _tag === "Decided").length;
      yield* same(change?.view.skus.get(sku)?.held, taken);
    }),
  ),
];
