/** Values that contract cases write: a message, a document, a timer. Each has keys of its own. */
import { Effect } from "effect";
import type * as Message from "../../domain/Message.ts";
import * as Shard from "../../domain/Shard.ts";
import type { Document } from "../../ports/DocumentStore.ts";
import { OUTBOX_SHARDS } from "../../ports/Outbox.ts";
import * as Contract from "../Contract.ts";

/** 2023-11-14, long before any test runs. */
export const PAST = 1_700_000_000_000;

/** 2100-01-01, long after. */
export const FUTURE = 4_102_444_800_000;

/** An encoded message of `key`; `body` tells the messages of a case apart. */
export const message = Effect.fnUntraced(function* (key: string, body: unknown, over: Partial<Message.Encoded> = {}) {
  const encoded: Message.Encoded = {
    id: yield* Contract.uuid,
    type: "contract.sample.v1",
    topic: "contract.sample",
    key,
    occurredAt: PAST,
    correlationId: key,
    causationId: null,
    stepKey: null,
    saga: null,
    traceparent: null,
    tracestate: null,
    payload: JSON.stringify(body),
    ...over,
  };
  return encoded;
});

/** Messages of one key with the bodies 1 to `count`. */
export const messages = (key: string, count: number): Effect.Effect<ReadonlyArray<Message.Encoded>> =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => index + 1),
    (body) => message(key, body),
  );

export const shardOf = (key: string): number => Shard.of(key, OUTBOX_SHARDS);

/** A new key that lives in the shard of `key`. */
export const neighbour = Effect.fnUntraced(function* (key: string) {
  const base = yield* Contract.unique("neighbour");
  for (let suffix = 0; ; suffix += 1) {
    const candidate = `${base}-${suffix}`;
    if (shardOf(candidate) === shardOf(key)) return candidate;
  }
});

/** The kind of the documents that contract cases write. */
export const KIND = "contract";

export const document = (id: string, revision: number, state: unknown): Document => ({ kind: KIND, id, revision, state });
