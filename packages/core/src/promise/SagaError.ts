/** What a promise of this library rejects with, whatever went wrong behind it. Refusals of a decision are answers, not errors. */
import { Cause } from "effect";
import * as Batch from "../flow/Batch.ts";
import { BusError, StoreError } from "../ports/StoreError.ts";

/**
 * "Nothing" is said of the one commit that failed. A saga's `run` makes several: what its earlier ones began goes on by its timers.
 *
 * - `Unavailable`: no connection, or an instance of a version that this process does not know. Nothing happened; try again.
 * - `Contention`: another writer was faster. Nothing happened; try again.
 * - `Overloaded`: too much is waiting. Nothing happened; try again later, or answer 503.
 * - `Unknown`: the answer to the commit was lost. It may have happened: ask again under the same id or idempotency key.
 * - `Refused`: the database or a decision refused this very input for good (a constraint, a bug). Nothing of it happened.
 * - `Misuse`: a programming error or a wrong setting.
 * - `Closed`: the client was closed, or is closing. A call that was refused did nothing; what was begun goes on, here or in the next process.
 */
export type SagaErrorCode = "Unavailable" | "Contention" | "Overloaded" | "Unknown" | "Refused" | "Misuse" | "Closed";

export class SagaError extends Error {
  override readonly name = "SagaError";
  readonly code: SagaErrorCode;

  /**
   * `message` is safe to log: it never holds payloads or secrets. `cause`, where there is one, is what went wrong behind it, a
   * function's own error for instance: what that says, its author knows.
   */
  constructor(code: SagaErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** The same call may succeed later. It has not happened; of a saga's `run`, not to its end: asked again, it finds its instance. */
  get isRetryable(): boolean {
    return this.code === "Unavailable" || this.code === "Contention" || this.code === "Overloaded";
  }
}

/** What a function threw, by its name alone: its text is its author's, and may hold anything. */
export const nameOf = (error: unknown): string => (error instanceof Error ? error.name : typeof error);

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
  if (failure instanceof Batch.Poisoned) {
    return new SagaError("Refused", `${failure.mailbox} cannot handle this input: its error's cause says why`, { cause: failure });
  }
  // Another process may know its version, or this one after a deploy.
  if (tag === "LeftAlone") return new SagaError("Unavailable", failure.message);
  // Its text quotes the value.
  if (tag === "SchemaError") return new SagaError("Misuse", "what is stored is not of the expected shape", { cause: failure });
  return new SagaError("Misuse", failure.message, { cause: failure });
};
