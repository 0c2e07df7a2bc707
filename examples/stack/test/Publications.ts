/** What the outboxes committed, and what the broker has: for G4 and G5. */
import { randomBytes } from "node:crypto";
import { CheckoutMessages, formatPosition, MessageBus } from "@org/saga-core";
import type { Invariants } from "@org/saga-core/testing";
import { KafkaBus } from "@org/saga-kafka";
import { PgClient } from "@org/saga-postgres";
import { Deferred, Effect } from "effect";
import * as Provision from "../src/Provision.ts";
import type { RealStack } from "../src/RealStack.ts";

/** Far longer than reading everything takes; then what is missing is missing. Milliseconds. */
const READ_WITHIN_MS = 30_000;
const BATCH_MAX = 500;

/** In commit order per service; a topic has one service that publishes on it. */
export const committed = (stack: RealStack): Promise<ReadonlyArray<Invariants.Published>> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const client = yield* PgClient.PgClient;
      const all: Array<Invariants.Published> = [];
      for (const schema of Provision.SCHEMAS) {
        const text = `select id::text, topic, aggregateid as key from "${schema}".outbox order by seq`;
        all.push(...(yield* client.query<Invariants.Published>("Publications", text)).rows);
      }
      return all;
    }).pipe(Effect.provide(PgClient.layer({ url: stack.postgresUrl, schema: "order", poolSize: 1 }))),
  );

/** Everything on the topics from their beginning, in order; reads until it has seen every one of `expected`, or for long enough. */
export const published = (
  stack: RealStack,
  expected: ReadonlyArray<Invariants.Published>,
): Promise<ReadonlyArray<Invariants.Published>> => {
  const missing = new Set(expected.map(({ id }) => id));
  const seen: Array<Invariants.Published> = [];
  const { servers, topicPrefix } = stack.options;
  return Effect.runPromise(
    Effect.gen(function* () {
      const bus = yield* MessageBus;
      const complete = yield* Deferred.make<void>();
      const reading = bus.consume(
        { group: `audit-${randomBytes(4).toString("hex")}`, topics: CheckoutMessages.catalogue.topics, batchMax: BATCH_MAX },
        (batch) => {
          for (const delivery of batch) {
            // A record that nobody can read was published by nobody who is known.
            const message =
              delivery._tag === "Readable" ? delivery.message : { id: formatPosition(delivery.position), topic: delivery.topic, key: "" };
            seen.push({ id: message.id, topic: message.topic, key: message.key });
            missing.delete(message.id);
          }
          return missing.size === 0 ? Deferred.succeed(complete, undefined) : Effect.void;
        },
      );
      yield* Effect.raceFirst(reading, Deferred.await(complete)).pipe(Effect.timeoutOption(READ_WITHIN_MS));
      return seen;
    }).pipe(Effect.provide(KafkaBus.layer({ brokers: servers.kafkaBrokers, topicPrefix }))),
  );
};
