/**
 * The `Transaction` of this adapter: an open session with the time it began, and what to do after its commit. Stores find
 * it in the environment and check that it is theirs and still open.
 */
import { StoreError, type StoreReason, type Timestamp, Transaction } from "@org/saga-core";
import { Effect, Option } from "effect";
import type { PgDriver, PgSession } from "./PgDriver.ts";

export class PgTransaction {
  readonly driver: PgDriver;
  readonly session: PgSession;
  /** No longer usable. */
  closed = false;
  /** The failure that the commit has to end with: a statement failed, so nothing of it can be committed. */
  doomed: StoreError | null = null;
  /** Run when COMMIT has been sent. What they return is run once it is committed. */
  readonly atCommit = new Set<() => () => void>();

  constructor(driver: PgDriver, session: PgSession) {
    this.driver = driver;
    this.session = session;
  }

  get now(): Timestamp {
    return this.session.now;
  }
}

/** The current transaction of `driver`, or `Misuse`. */
export const current = Effect.fnUntraced(function* (
  driver: PgDriver,
  operation: string,
): Effect.fn.Return<PgTransaction, StoreError, Transaction> {
  const transaction = yield* Transaction;
  if (!(transaction instanceof PgTransaction) || transaction.driver !== driver) {
    return yield* failure("Misuse", operation, "the transaction belongs to another database");
  }
  if (transaction.closed) return yield* failure("Misuse", operation, "the transaction has ended");
  return transaction;
});

/** The transaction that the caller is in, if it is an open one of any `PgClient`. */
export const open: Effect.Effect<PgTransaction | null> = Effect.map(Effect.serviceOption(Transaction), (found) =>
  Option.isSome(found) && found.value instanceof PgTransaction && !found.value.closed ? found.value : null,
);

/** A store's own refusal, as if the database had refused: the transaction cannot commit any more. */
export const doom = (transaction: PgTransaction, error: StoreError): StoreError => {
  transaction.doomed ??= error;
  return error;
};

export const failure = (reason: StoreReason, operation: string, message: string): StoreError =>
  new StoreError({ reason, operation, message });
