/**
 * One atomic commit. State, outbox, inbox, timers and idempotency keys written inside it are all durable, or none is.
 *
 * `Transaction` is the proof of being inside: the writing methods of the other ports require it, and only
 * `UnitOfWork.commit` provides it, so publishing outside of a transaction does not compile. A transaction that has ended
 * refuses at run time with `Misuse`.
 */
import { Context, type Effect } from "effect";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { StoreError } from "./StoreError.ts";

export class Transaction extends Context.Service<
  Transaction,
  {
    /** The database's clock when the transaction began, in milliseconds: the `now` of every command decided in it. */
    readonly now: Timestamp;
  }
>()("@org/saga-core/ports/Transaction") {}

export class UnitOfWork extends Context.Service<
  UnitOfWork,
  {
    /**
     * Runs `body` in one transaction and commits. A failure, a defect or an interruption rolls everything back.
     * Commits are not nested: inside a transaction it fails with `Misuse`. It never retries: `body` may have effects.
     * `StoreError` with reason `Unknown` means that the commit's outcome could not be learned.
     */
    readonly commit: <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.Effect<A, E | StoreError, Exclude<R, Transaction>>;
  }
>()("@org/saga-core/ports/UnitOfWork") {}
