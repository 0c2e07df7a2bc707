/** Errors of the driver, classified once. No message holds a key, a value or an address. */
import { StoreError, type StoreReason } from "@org/saga-core";
import { Schema } from "effect";

/**
 * - `Unavailable`: no connection, no answer in time, or a server that cannot write now (loading, read only, out of memory).
 * - `Unknown`: the same, while a write was under way: it may have happened.
 * - `Conflict`: a watched key has changed. Nothing was written.
 * - `Refused`: the server or a stored value is not what it must be; trying again cannot help.
 * - `Misconfigured`: the server would lose what it was given, or does not know whoever asks: a matter of settings, of no command.
 */
export const RedisReason = Schema.Literals(["Unavailable", "Unknown", "Conflict", "Refused", "Misconfigured"]);
export type RedisReason = typeof RedisReason.Type;

export class RedisError extends Schema.TaggedError<RedisError>()("RedisError", {
  reason: RedisReason,
  operation: Schema.String,
  message: Schema.String,
}) {
  get isRetryable(): boolean {
    return this.reason === "Unavailable" || this.reason === "Conflict";
  }
}

/** First words of replies that say "not now". Their commands had no effect. */
const NOT_NOW = new Set([
  "LOADING",
  "READONLY",
  "OOM",
  "MISCONF",
  "BUSY",
  "MASTERDOWN",
  "CLUSTERDOWN",
  "TRYAGAIN",
  // The slot is on another node, or on its way there: no fault of what was asked, and nobody's hold is dropped for it.
  "ASK",
  "MOVED",
  "NOREPLICAS",
  "EXECABORT",
]);

/** Replies to whoever has not the right password, or not the right to ask. Their commands had no effect either. */
const NOT_KNOWN = new Set(["NOAUTH", "WRONGPASS", "NOPERM"]);

const reasonOf = (reply: string): RedisReason => (NOT_NOW.has(reply) ? "Unavailable" : NOT_KNOWN.has(reply) ? "Misconfigured" : "Refused");

/** What went wrong. `writing`: an answer that was lost may have been a yes. */
export const classify = (cause: unknown, operation: string, writing: boolean): RedisError => {
  const reply = replyWord(cause);
  if (reply === undefined) {
    const reason: RedisReason = writing ? "Unknown" : "Unavailable";
    return new RedisError({ reason, operation, message: writing ? "the connection was lost while writing" : "no connection" });
  }
  return new RedisError({ reason: reasonOf(reply), operation, message: `the server answered ${reply}` });
};

/** As the ports speak of it. */
export const toStoreError = (error: RedisError): StoreError =>
  new StoreError({ reason: STORE_REASON[error.reason], operation: error.operation, message: error.message });

const STORE_REASON: Record<RedisReason, StoreReason> = {
  Unavailable: "Unavailable",
  Unknown: "Unknown",
  Conflict: "Contention",
  Refused: "Refused",
  // Nobody's item: a batch is not searched for the one that it might be.
  Misconfigured: "Misuse",
};

/** The first word of an error reply, e.g. `OOM`: the rest may hold names. */
const replyWord = (cause: unknown): string | undefined => {
  if (!(cause instanceof Error) || cause.name !== "ReplyError") return undefined;
  return /^[A-Z]+/.exec(cause.message)?.[0] ?? "ERR";
};
