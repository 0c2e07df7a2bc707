/** What a promise of this library rejects with, whatever went wrong behind it. Refusals of a decision are answers, not errors. */
import { Cause } from "effect";
import { BusError, StoreError } from "../ports/StoreError.ts";

/**
 * - `Unavailable`: no connection. Nothing happened; try again.
 * - `Contention`: another writer was faster. Nothing happened; try again.
 * - `Overloaded`: too much is waiting. Nothing happened; try again later, or answer 503.
 * - `Unknown`: the answer to the commit was lost. It may have happened: ask again under the same id or idempotency key.
 * - `Refused`: the database or a decision refused this very input for good (a constraint, a bug). Nothing happened.
 * - `Misuse`: a programming error or a wrong setting.
 * - `Closed`: the client was closed, or is closing. Nothing happened.
 */
export type SagaErrorCode = "Unavailable" | "Contention" | "Overloaded" | "Unknown" | "Refused" | "Misuse" | "Closed";

export class SagaError extends Error {
  override readonly name = "SagaError";
  readonly code: SagaErrorCode;

  /** `message` is safe to log: it never holds payloads or secrets. */
  constructor(code: SagaErrorCode, message: string) {
    super(message);
    this.code = code;
  }

  /** The same call may succeed later, and has not happened. */
  get isRetryable(): boolean {
    return this.code === "Unavailable" || this.code === "Contention" || this.code === "Overloaded";
  }
}

/** An error that a user's own function threw: it is passed on as it is. */
export class Thrown {
  readonly _tag = "Thrown";
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

/** What a promise rejects with when its effect ended with `cause`. */
export const ofCause = (cause: Cause.Cause<unknown>): unknown => {
  if (Cause.hasInterruptsOnly(cause)) return new SagaError("Closed", "the client was closed");
  return of(Cause.squash(cause));
};

const of = (failure: unknown): unknown => {
  if (failure instanceof Thrown) return failure.error;
  if (failure instanceof SagaError) return failure;
  if (failure instanceof StoreError || failure instanceof BusError) return new SagaError(failure.reason, failure.message);
  if (!(failure instanceof Error)) return new SagaError("Misuse", "an unexpected failure");
  const tag = "_tag" in failure ? failure._tag : null;
  if (tag === "MailboxFull") return new SagaError("Overloaded", failure.message);
  if (tag === "Poisoned" || tag === "LeftAlone") return new SagaError("Refused", failure.message);
  return new SagaError("Misuse", failure.message);
};
