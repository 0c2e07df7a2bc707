/** Every driver error ends as one of three reasons, and its text never names a host, a topic or a payload. */
import {
  KafkaJSAggregateError,
  KafkaJSConnectionError,
  KafkaJSError,
  KafkaJSNonRetriableError,
  KafkaJSNumberOfRetriesExceeded,
  KafkaJSProtocolError,
  KafkaJSSASLAuthenticationError,
} from "kafkajs";
import { describe, expect, it } from "vitest";
import { KafkaError } from "../src/index.ts";

const protocol = (type: string): Error =>
  new KafkaJSProtocolError(Object.assign(new Error("secret text of broker-7:9092"), { type, code: 1 }));

const exceeded = (cause: Error): Error =>
  Object.assign(new KafkaJSNumberOfRetriesExceeded(cause, { retryCount: 5, retryTime: 100 }), { cause });

const cases: ReadonlyArray<readonly [string, unknown, KafkaError.KafkaReason, string]> = [
  ["a batch that is too large", protocol("MESSAGE_TOO_LARGE"), "TooLarge", "the broker answered MESSAGE_TOO_LARGE"],
  ["the same, below retries", exceeded(protocol("RECORD_LIST_TOO_LARGE")), "TooLarge", "the broker answered RECORD_LIST_TOO_LARGE"],
  ["a topic that is not allowed", protocol("TOPIC_AUTHORIZATION_FAILED"), "Refused", "the broker answered TOPIC_AUTHORIZATION_FAILED"],
  [
    "a topic that cannot be created, in an aggregate",
    Object.assign(new KafkaJSNonRetriableError("x"), { cause: new KafkaJSAggregateError("x", [protocol("INVALID_REPLICATION_FACTOR")]) }),
    "Refused",
    "the broker answered INVALID_REPLICATION_FACTOR",
  ],
  [
    "a wrong password",
    Object.assign(new KafkaJSError("x"), { name: "KafkaJSSASLAuthenticationError" }),
    "Refused",
    "KafkaJSSASLAuthenticationError",
  ],
  ["a wrong password, as the driver says it", named(KafkaJSSASLAuthenticationError.name), "Refused", "KafkaJSSASLAuthenticationError"],
  ["no leader, after retries", exceeded(protocol("LEADER_NOT_AVAILABLE")), "Unavailable", "the broker answered LEADER_NOT_AVAILABLE"],
  ["a missing topic", protocol("UNKNOWN_TOPIC_OR_PARTITION"), "Unavailable", "the broker answered UNKNOWN_TOPIC_OR_PARTITION"],
  [
    "no connection",
    exceeded(new KafkaJSConnectionError("connect ECONNREFUSED 127.0.0.1:9092")),
    "Unavailable",
    "no broker could be used (KafkaJSConnectionError)",
  ],
  ["a broken driver", new TypeError("Cannot read properties of null"), "Unavailable", "no broker could be used (TypeError)"],
  ["what is no error", "secret", "Unavailable", "no broker could be used (an unknown error)"],
  ["a name that is a text", { name: "secret of broker-7:9092" }, "Unavailable", "no broker could be used (an unknown error)"],
];

function named(name: string): Error {
  return Object.assign(new Error("x"), { name });
}

describe("KafkaError", () => {
  it.each(cases)("classifies %s", (_, cause, reason, message) => {
    const error = KafkaError.classify(cause, "MessageBus.publish");
    expect(error).toMatchObject({ reason, operation: "MessageBus.publish" });
    expect(error.message).toBe(message);
    expect(error.isRetryable).toBe(reason === "Unavailable");
  });

  it("survives causes that go in circles", () => {
    const circle = new Error("x");
    Object.assign(circle, { cause: circle });
    const pair = new Error("x", { cause: new Error("y") });
    Object.assign(pair.cause ?? {}, { cause: pair });
    expect(KafkaError.classify(circle, "x").reason).toBe("Unavailable");
    expect(KafkaError.classify(pair, "x").reason).toBe("Unavailable");
  });

  it("speaks the port's language", () => {
    const reasons = (["Unavailable", "TooLarge", "Refused"] as const).map(
      (reason) => KafkaError.toBusError(KafkaError.failure(reason, "x", "y")).reason,
    );
    expect(reasons).toEqual(["Unavailable", "Refused", "Refused"]);
  });
});
