/**
 * `StockBooks` in memory. `make` gives books that outlive the layers on top of them, as a server's data outlives its clients.
 * A write is one step that nothing can come between; there is nothing durable about it.
 */
import { Clock, Effect, Layer } from "effect";
import * as StockJournal from "../domain/stock/StockJournal.ts";
import * as StockLedger from "../domain/stock/StockLedger.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { type BooksVerdict, ENDED_INHERITED_MAX, StockBooks, type StockNote, type StockServing } from "../ports/StockBooks.ts";
import type { LogServer } from "../ports/StockLog.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryStock from "./MemoryStock.ts";

interface Noted extends StockNote {
  readonly generation: number;
  readonly at: Timestamp;
}

export class Books {
  readonly stock = new MemoryStock.Stock();
  readonly notes = new Map<string, Noted>();
  serving: StockServing = { generation: 1, server: null };
  #noted = 0;

  change(generation: number, server: LogServer | null): { readonly serving: StockServing; readonly view: StockLedger.StockView } | null {
    if (generation !== this.serving.generation) return null;
    this.serving = { generation: generation + 1, server };
    this.notes.clear();
    const { skus, holds, buyers } = this.stock;
    return { serving: this.serving, view: StockLedger.view(skus.values(), inheritance([...holds.values()]), [], buyers.values()) };
  }

  execute(generation: number, work: StockJournal.Work, clock: Timestamp): BooksVerdict {
    if (generation !== this.serving.generation) return { _tag: "Ended" };
    const now = this.stock.at(clock);
    const decided = StockJournal.decide(this.stock.part(StockJournal.touching(work)), work, now);
    this.stock.apply(decided.writes);
    const { keepings, answers, isTellable, tell } = decided;
    const isSilent = this.serving.server === null || (isTellable && tell.length === 0);
    return { _tag: "Decided", keepings, answers, isTellable, note: isSilent ? null : this.#note(tell, now) };
  }

  untold(generation: number, before: Timestamp, max: number): ReadonlyArray<StockNote> {
    return [...this.notes.values()].filter((note) => note.generation === generation && note.at <= before).slice(0, max);
  }

  #note(commands: ReadonlyArray<StockJournal.Told>, at: Timestamp): StockNote {
    this.#noted += 1;
    const note = { id: `${this.#noted}`, commands, generation: this.serving.generation, at };
    this.notes.set(note.id, note);
    return note;
  }
}

const inheritance = (holds: ReadonlyArray<StockLedger.Hold>): ReadonlyArray<StockLedger.Hold> => {
  const isOpen = ({ status }: StockLedger.Hold): boolean => status === "held" || status === "committed";
  const ended = holds.filter((hold) => !isOpen(hold)).toSorted((left, right) => right.at - left.at);
  return [...holds.filter(isOpen), ...ended.slice(0, ENDED_INHERITED_MAX)];
};

/** Empty books, served by themselves. */
export const make: Effect.Effect<Books> = Effect.sync(() => new Books());

/** A process's connection to books that live elsewhere. */
export const layerOf = (books: Books): Layer.Layer<StockBooks> => {
  const { execute: _, ...reads } = MemoryStock.serviceOf(books.stock);
  const call = <A>(method: string, run: (now: Timestamp) => A) =>
    FaultPoint.around(`StockBooks.${method}`, Effect.map(Clock.currentTimeMillis, run));
  return Layer.succeed(StockBooks, {
    ...reads,
    // They are in no database.
    outside: Effect.void,
    serving: call("serving", () => books.serving),
    change: (generation, server) => call("change", () => books.change(generation, server)),
    execute: (generation, work) => call("execute", (now) => books.execute(generation, work, now)),
    untold: (generation, millis, max) => call("untold", (now) => books.untold(generation, now - millis, max)),
    forget: (ids) => call("forget", () => ids.forEach((id) => void books.notes.delete(id))),
  });
};

/** Books of their own. */
export const layer: Layer.Layer<StockBooks> = Layer.unwrap(Effect.map(make, layerOf));
