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

export class Timers extends Context.Service<
  Timers,
  {
    /** Adds or replaces. */
    readonly schedule: (timers: ReadonlyArray<Timer>) => Effect.Effect<void, StoreError, Transaction>;
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
    readonly list: (owner: string, key: string) => Effect.Effect<ReadonlyArray<Timer>, StoreError>;
  }
>()("@org/saga-core/ports/Timers") {}
