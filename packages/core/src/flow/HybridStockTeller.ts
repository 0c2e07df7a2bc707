/**
 * Keeps a log in step with the ledger: tells it what the ledger noted for it, until it has heard.
 *
 * What the log answers shows whether it came to the same. If it did not, it is out of step (it promised units that the
 * ledger gave to somebody else), and a new generation begins from the ledger. So it does when the ledger revoked holds, whoever
 * had it do so: the log would revoke others. Nothing here fails:
 * what was decided is in the ledger, and what is not told now is told later, by whoever watches.
 */
import { Effect, Metric, Result } from "effect";
import type { StockCommand } from "../domain/stock/StockCommand.ts";
import type { Answer } from "../domain/stock/StockLedger.ts";
import { type BooksVerdict, StockBooks, type StockNote, type StockServing } from "../ports/StockBooks.ts";
import { StockLog } from "../ports/StockLog.ts";
import type { StoreError } from "../ports/StoreError.ts";
import { SHARD, type Shard } from "./HybridStockShard.ts";

/** A note that is older was left behind by its process: what it tells is told by another one. In milliseconds. */
export const NOTE_LEFT_MS = 1_000;

/** Notes of one pass. */
const NOTES_MAX = 100;

/** Notes to forget at a time; each is some 50 bytes. */
const FORGET_MAX = 1_000;

const retold = Metric.counter("saga_stock_notes_retold_total", {
  description: "Decisions of the ledger that a log heard of late",
  incremental: true,
});

export interface Teller {
  /** What follows from work that the ledger has done while `serving` served. */
  readonly heed: (serving: StockServing, verdict: Extract<BooksVerdict, { _tag: "Decided" }>) => Effect.Effect<void>;
  /** Tells what was left, and forgets what was heard. */
  readonly catchUp: (serving: StockServing) => Effect.Effect<void, StoreError>;
}

const REVOKED = "holds were revoked";

/** `Later`: something else has to be told before. */
type Heard = "InStep" | "Later" | "OutOfStep";

export const make = Effect.fnUntraced(function* (shard: Shard): Effect.fn.Return<Teller, never, StockBooks | StockLog> {
  const books = yield* StockBooks;
  const log = yield* StockLog;
  const heard = new Set<string>();
  /** The generation that is known to be out of step. */
  let stale = 0;

  const replace = (serving: StockServing, why: string): Effect.Effect<void, StoreError> => {
    stale = serving.generation;
    return shard.renew(serving, why);
  };

  const tell = Effect.fnUntraced(function* (serving: StockServing, notes: ReadonlyArray<StockNote>): Effect.fn.Return<void, StoreError> {
    if (notes.length === 0) return;
    const commands = notes.flatMap((note) => note.commands);
    const verdict = yield* shard.ask(
      serving,
      Effect.map(log.execute(SHARD, serving.generation, commands), (said) => (said._tag === "Ended" ? "Ended" : said)),
    );
    if (verdict === null) return;
    let at = 0;
    let isOut = false;
    for (const note of notes) {
      const words = note.commands.map((command) => hearing(command, verdict.answers[at++]));
      if (words.every((word) => word === "InStep")) heard.add(note.id);
      isOut ||= words.includes("OutOfStep");
    }
    if (isOut) yield* replace(serving, "its log cannot follow the ledger");
  });

  const forget = Effect.gen(function* () {
    const ids = [...heard].slice(0, FORGET_MAX);
    if (ids.length === 0) return;
    yield* books.forget(ids);
    for (const id of ids) heard.delete(id);
  });

  return {
    heed: (serving, { isTellable, note }) => {
      if (serving.server === null) return Effect.void;
      return Effect.ignore(isTellable ? tell(serving, note === null ? [] : [note]) : replace(serving, REVOKED));
    },
    catchUp: Effect.fnUntraced(function* (serving) {
      if (stale === serving.generation) return yield* shard.renew(serving, "its log is out of step");
      yield* forget;
      const left = (yield* books.untold(serving.generation, NOTE_LEFT_MS, NOTES_MAX)).filter(({ id }) => !heard.has(id));
      yield* Metric.update(retold, left.length);
      if (left.some(({ commands }) => commands.length === 0)) return yield* replace(serving, REVOKED);
      // Also when there is nothing to tell: whether the server is still the same shows when it is asked.
      yield* left.length > 0 ? tell(serving, left) : shard.compare(serving);
    }),
  };
});

const hearing = (command: StockCommand, answer: Answer | undefined): Heard => {
  if (answer === undefined) return "Later";
  if (Result.isSuccess(answer)) return "InStep";
  switch (answer.failure._tag) {
    // Something that came after it was told before.
    case "AlreadyReleased":
    case "AlreadyShipped":
    // Its time was over, and it was committed all the same.
    case "HoldAlive":
      return "InStep";
    // Nothing of it was ever here: nothing to give back.
    case "HoldNotFound":
      return command._tag === "Expire" ? "InStep" : "OutOfStep";
    case "NotCommitted":
      return "Later";
    // Renewed while it lived; that it ended was told before.
    case "HoldExpired":
      return command._tag === "Renew" ? "InStep" : "OutOfStep";
    case "OutOfStock":
    case "UnknownSku":
    case "LimitExceeded":
    case "ReservationMismatch":
    case "AdjustmentMismatch":
    case "InvalidQuantity":
      return "OutOfStep";
  }
};
