/**
 * What can go wrong behind a port. Drivers classify their errors once, at the edge, into one of these. The message never
 * holds payloads, bind values or secrets.
 */
import { Cause, Schema } from "effect";

/**
 * - `Unavailable`: no connection, or lost before anything was decided. Nothing happened. Retry.
 * - `Contention`: serialization failure, deadlock, lock timeout, a lost race on a key. Rolled back. Retry.
 * - `Unknown`: the connection was lost while committing. It may have happened. Never guess.
 * - `Refused`: an item was refused (constraint, size). Rolled back. Retrying the same cannot help.
 * - `Misuse`: a port was called outside its transaction, or after it closed. A programming error.
 */
export const StoreReason = Schema.Literals(["Unavailable", "Contention", "Unknown", "Refused", "Misuse"]);
export type StoreReason = typeof StoreReason.Type;

export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  reason: StoreReason,
  /** `<Port>.<method>`. */
  operation: Schema.String,
  /** Safe to log. */
  message: Schema.String,
}) {
  /** The same call may succeed later, and cannot have happened already. */
  get isRetryable(): boolean {
    return this.reason === "Unavailable" || this.reason === "Contention";
  }
}

/** The message bus could not do it. At least once: the same messages may be published again. */
export class BusError extends Schema.TaggedError<BusError>()("BusError", {
  reason: Schema.Literals(["Unavailable", "Refused"]),
  operation: Schema.String,
  message: Schema.String,
}) {
  get isRetryable(): boolean {
    return this.reason === "Unavailable";
  }
}

/** What there is to log of a failure: a port's error has a safe message; of a defect, whose own text may quote a payload, its name and place. */
export const describeCause = (cause: Cause.Cause<unknown>): string => {
  if (Cause.hasInterruptsOnly(cause)) return "interrupted";
  const error = Cause.squash(cause);
  if (error instanceof StoreError || error instanceof BusError) return error.message;
  if (!(error instanceof Error)) return "a defect";
  const { message, stack = "" } = error;
  // Behind its text. Where the text was changed since, nobody knows what of the stack is text.
  const start = stack.indexOf(message);
  const place = start < 0 ? undefined : stack.slice(start + message.length).match(/^\s*(at .+)$/m)?.[1];
  return `a defect (${error.name}${place === undefined ? "" : ` ${place}`})`;
};
