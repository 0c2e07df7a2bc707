/** Errors of the driver, classified once. No message holds a key, a value or an address. */
import { BusError } from "@org/saga-core";
import { Schema } from "effect";

/**
 * - `Unavailable`: no connection, no leader, no answer in time, a topic that is not there yet. Later it may work.
 * - `TooLarge`: the broker takes no batch of this size.
 * - `Refused`: not allowed, or a request that no broker will ever take.
 */
export const KafkaReason = Schema.Literals(["Unavailable", "TooLarge", "Refused"]);
export type KafkaReason = typeof KafkaReason.Type;

export class KafkaError extends Schema.TaggedError<KafkaError>()("KafkaError", {
  reason: KafkaReason,
  /** `<Port>.<method>`. */
  operation: Schema.String,
  message: Schema.String,
}) {
  get isRetryable(): boolean {
    return this.reason === "Unavailable";
  }
}

/** The broker's answers that will be the same tomorrow, unless a person does something. Protocol error names. */
const FOR_GOOD = new Set([
  "TOPIC_AUTHORIZATION_FAILED",
  "GROUP_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "SASL_AUTHENTICATION_FAILED",
  "UNSUPPORTED_SASL_MECHANISM",
  "ILLEGAL_SASL_STATE",
  "SECURITY_DISABLED",
  "INVALID_TOPIC_EXCEPTION",
  "INVALID_GROUP_ID",
  "INVALID_SESSION_TIMEOUT",
  "INVALID_PARTITIONS",
  "INVALID_REPLICATION_FACTOR",
  "INVALID_CONFIG",
  "INVALID_REQUEST",
  "INVALID_TIMESTAMP",
  "INVALID_RECORD",
  "INCONSISTENT_GROUP_PROTOCOL",
  "UNSUPPORTED_VERSION",
  "UNSUPPORTED_FOR_MESSAGE_FORMAT",
  "POLICY_VIOLATION",
]);

/** The driver's own: what it was asked cannot be done. */
const DRIVER_FOR_GOOD = new Set([
  "KafkaJSSASLAuthenticationError",
  "KafkaJSNotImplemented",
  "KafkaJSServerDoesNotSupportApiKey",
  "KafkaJSInvariantViolation",
]);

const TOO_LARGE = new Set(["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"]);

/** What went wrong: the first error along the causes that says something definite. Anything else may pass. */
export const classify = (cause: unknown, operation: string): KafkaError => {
  const chain = [...causes(cause)];
  for (const error of chain) {
    const type = wordOf(error, "type");
    if (type !== undefined && TOO_LARGE.has(type)) return failure("TooLarge", operation, `the broker answered ${type}`);
    if (type !== undefined && FOR_GOOD.has(type)) return failure("Refused", operation, `the broker answered ${type}`);
    const name = wordOf(error, "name");
    if (name !== undefined && DRIVER_FOR_GOOD.has(name)) return failure("Refused", operation, name);
  }
  const type = chain.map((error) => wordOf(error, "type")).find((word) => word !== undefined);
  if (type !== undefined) return failure("Unavailable", operation, `the broker answered ${type}`);
  const name = wordOf(chain.at(-1), "name") ?? "an unknown error";
  return failure("Unavailable", operation, `no broker could be used (${name})`);
};

/** As the port speaks of it. */
export const toBusError = (error: KafkaError): BusError =>
  new BusError({ reason: error.reason === "Unavailable" ? "Unavailable" : "Refused", operation: error.operation, message: error.message });

export const failure = (reason: KafkaReason, operation: string, message: string): KafkaError =>
  new KafkaError({ reason, operation, message });

/** Causes of causes; the errors of an aggregate, too. The driver nests a few levels, a loop would be a bug of its own. */
const CAUSES_MAX = 20;

function* causes(cause: unknown): Generator<unknown> {
  const open: Array<unknown> = [cause];
  for (let count = 0; count < CAUSES_MAX; count += 1) {
    const error = open.shift();
    if (typeof error !== "object" || error === null) return;
    yield error;
    if ("errors" in error && isList(error.errors)) open.push(...error.errors);
    if ("cause" in error && error.cause !== error) open.push(error.cause);
  }
}

const isList = (value: unknown): value is ReadonlyArray<unknown> => Array.isArray(value);

/** A field that holds a name, not a text: the driver's texts name hosts. */
const wordOf = (error: unknown, field: "type" | "name"): string | undefined => {
  if (typeof error !== "object" || error === null || !(field in error)) return undefined;
  const value: unknown = Reflect.get(error, field);
  return typeof value === "string" && /^[A-Za-z_]+$/.test(value) ? value : undefined;
};
