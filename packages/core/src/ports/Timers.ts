/**
 * Durable timers. Correctness never rests on a cancel: a firing carries its token, and the decision ignores a token
 * that is not in its state.
 */
import { Context, type Effect } from "effect";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { StoreError } from "./StoreError.ts";
import type { Transaction } from "./UnitOfWork.ts";

export interface Timer {
  /** Whose timers these are, e.g. `checkout` (a saga) or `payment` (a participant). */
  readonly owner: string;
  /** The instance: the order's id. */
  readonly key: string;
  readonly name: string;
  readonly token: string;
  readonly dueAt: Timestamp;
}

/** Identity of a timer: scheduling it again replaces token and time. */
export type TimerKey = Pick<Timer, "owner" | "key" | "name">;

/** A timer's new time. */
export type TimerMove = Pick<Timer, "owner" | "key" | "name" | "dueAt">;

/** A part of a listing: what comes after `after` (the last timer of the part before; null: from the start), at most `max`. */
export interface TimerPage {
  readonly after: Pick<Timer, "key" | "name" | "dueAt"> | null;
  readonly max: number;
}

export class Timers extends Context.Service<
  Timers,
  {
    /** Adds or replaces. */
    readonly schedule: (timers: ReadonlyArray<Timer>) => Effect.Effect<void, StoreError, Transaction>;
    /**
     * Other times for timers that exist, with the tokens they have: their decisions know them. One verdict each, in order;
     * the same timer twice: the last one counts. A claimed one can be claimed again at its new time; a firing that is on its
     * way already is not held back, it decides by its token.
     */
    readonly reschedule: (
      moves: ReadonlyArray<TimerMove>,
    ) => Effect.Effect<ReadonlyArray<"Rescheduled" | "Missing">, StoreError, Transaction>;
    /** Removes whatever token they have. */
    readonly cancel: (timers: ReadonlyArray<TimerKey>) => Effect.Effect<void, StoreError, Transaction>;
    /** Removes exactly these firings (owner, key, name, token), in the transaction of their decision. Others stay. */
    readonly complete: (timers: ReadonlyArray<Timer>) => Effect.Effect<void, StoreError, Transaction>;
    /**
     * Due timers of `owner`, oldest first, at most `max`. Each is hidden from other claims for `leaseMillis`: if its
     * decision does not `complete` it (a crash), it comes again. "Due" is by the clock of the database.
     */
    readonly claimDue: (owner: string, max: number, leaseMillis: number) => Effect.Effect<ReadonlyArray<Timer>, StoreError>;
    /** When the next timer of `owner` can be claimed. */
    readonly nextDueAt: (owner: string) => Effect.Effect<Timestamp | null, StoreError>;
    /** All timers of one instance, by due time. */
    readonly list: (owner: string, key: string) => Effect.Effect<ReadonlyArray<Timer>, StoreError>;
    /**
     * All timers of `owner` by due time, key and name, page by page; claimed ones too. For people: a page looks at all timers
     * of the owner. A timer that moves meanwhile may be seen twice or not at all.
     */
    readonly pending: (owner: string, page: TimerPage) => Effect.Effect<ReadonlyArray<Timer>, StoreError>;
  }
>()("@org/saga-core/ports/Timers") {}
