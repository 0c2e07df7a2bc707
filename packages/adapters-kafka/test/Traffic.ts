/** Publishers and consumers of a test: stubborn ones, as workers are, on a bus that a test may break. */
import { type BusError, type Delivery, type Message, MessageBus, type PublishVerdict } from "@org/saga-core";
import { Effect } from "effect";
import { randomUUID } from "node:crypto";

export const message = (topic: string, key: string, payload: string): Message.Encoded => ({
  id: randomUUID(),
  type: "sample.v1",
  topic,
  key,
  occurredAt: 1_767_225_600_000,
  correlationId: key,
  causationId: null,
  stepKey: null,
  saga: null,
  traceparent: null,
  tracestate: null,
  payload,
});

/** The same list until the bus has it, as a relay does. */
export const publish = (messages: ReadonlyArray<Message.Encoded>): Effect.Effect<ReadonlyArray<PublishVerdict>, BusError, MessageBus> =>
  Effect.flatMap(MessageBus, (bus) => Effect.retry(bus.publish(messages), { while: (error) => error.isRetryable, times: ATTEMPTS }));

const ATTEMPTS = 200;

export const ensure = (...topics: ReadonlyArray<string>) => Effect.flatMap(MessageBus, (bus) => bus.ensureTopics(topics));

/** Consumes into a list, in the background. */
export const consumeInto = <E>(
  group: string,
  topics: ReadonlyArray<string>,
  got: Array<Delivery>,
  handle: (batch: ReadonlyArray<Delivery>) => Effect.Effect<void, E> = () => Effect.void,
  batchMax = 50,
) =>
  Effect.flatMap(MessageBus, (bus) =>
    bus.consume({ group, topics, batchMax }, (batch) =>
      Effect.suspend(() => {
        got.push(...batch);
        return handle(batch);
      }),
    ),
  );

export const payloads = (deliveries: ReadonlyArray<Delivery>): ReadonlyArray<string> =>
  deliveries.flatMap((delivery) => (delivery._tag === "Readable" ? [delivery.message.payload] : []));

/** Each once, in the order of first occurrence. */
export const firsts = (values: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(values)];

/** Waits until `condition` holds; a test's time is its limit. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.andThen(Effect.sleep("20 millis"), until(condition))));
