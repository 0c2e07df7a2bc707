/**
 * The durable side of stock that a fast log stands in front of: the ledger's books, the word of who serves, and notes of
 * what the log has still to hear.
 *
 * Who serves has a generation, which only grows. Every write names the generation that it was decided in and is refused
 * when another one serves, in the transaction that would have written: two engines never both decide. `execute` is
 * idempotent as every stock command is.
 *
 * These are the books of one shard, which has all SKUs.
 */
import { Context, type Effect } from "effect";
import type { Journaled, Told, Work } from "../domain/stock/StockJournal.ts";
import type { StockView } from "../domain/stock/StockLedger.ts";
import type { LogServer } from "./StockLog.ts";
import type { StockReservation } from "./StockReservation.ts";
import type { StoreError } from "./StoreError.ts";

/** Who serves, since when. */
export interface StockServing {
  readonly generation: number;
  /** The server whose log serves; null: the ledger itself. */
  readonly server: LogServer | null;
}

/** Ended holds that a new log knows, so that a late repetition hears what it heard before. The ledger knows the others. */
export const ENDED_INHERITED_MAX = 10_000;

/** What the log of a generation has to hear. No commands: holds were revoked, and it has to begin anew. */
export interface StockNote {
  readonly id: string;
  readonly commands: ReadonlyArray<Told>;
}

/** `Ended`: another generation serves, and nothing was written. */
export type BooksVerdict =
  | ({ readonly _tag: "Decided"; readonly note: StockNote | null } & Pick<Journaled, "keepings" | "answers" | "isTellable">)
  | { readonly _tag: "Ended" };

export class StockBooks extends Context.Service<
  StockBooks,
  Omit<StockReservation["Service"], "execute"> & {
    /**
     * Fails with `Misuse` if its caller is inside a transaction of the books' own database: `execute` would wait there for a second
     * connection, maybe for ever. For engines that gather commands of many callers: asked by each of them.
     */
    readonly outside: Effect.Effect<void, StoreError>;
    /** Who serves now. The ledger, at first. */
    readonly serving: Effect.Effect<StockServing, StoreError>;
    /**
     * Compare and set: ends `generation`, its notes with it, and begins a greater one. The view is what the ledger was at that
     * moment: all books, what is held or promised, and of what ended the newest (`ENDED_INHERITED_MAX`). A hold
     * whose record is damaged is left out; its units stay held in the books. Null: another one serves, or was faster.
     */
    readonly change: (
      generation: number,
      server: LogServer | null,
    ) => Effect.Effect<{ readonly serving: StockServing; readonly view: StockView } | null, StoreError>;
    /**
     * Decides (`StockJournal.decide`) and writes, all or nothing. If a log serves and has something to hear of it, that is noted
     * in the same transaction. `now` is the books' clock.
     */
    readonly execute: (generation: number, work: Work) => Effect.Effect<BooksVerdict, StoreError>;
    /** Notes of this generation that are older than `millis`, oldest first, at most `max`. */
    readonly untold: (generation: number, millis: number, max: number) => Effect.Effect<ReadonlyArray<StockNote>, StoreError>;
    /** The log has heard these. */
    readonly forget: (ids: ReadonlyArray<string>) => Effect.Effect<void, StoreError>;
  }
>()("@org/saga-core/ports/StockBooks") {}
