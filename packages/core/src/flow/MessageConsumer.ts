/**
 * From the broker to the mailbox. A batch is acknowledged only after everything in it is committed or, if it cannot be
 * handled, stands in the dead letters: nothing is lost, nothing blocks its neighbours.
 *
 * A message for an instance of a version that this process does not know waits in the broker, and what is behind it in its partition,
 * until a process that knows it has the partition; a `StoredConsumer` puts it aside instead, and goes on.
 *
 * Messages of types that the consumer does not know its way with are skipped: topics carry more than one type.
 */
import { Cause, Effect, Exit, type Layer, Metric, Result } from "effect";
import * as Message from "../domain/Message.ts";
import { type DeadLetter, DeadLetters } from "../ports/DeadLetters.ts";
import { type Delivery, formatPosition, MessageBus, type Subscription } from "../ports/MessageBus.ts";
import type { BusError } from "../ports/StoreError.ts";
import { StoreError } from "../ports/StoreError.ts";
import { Transaction, UnitOfWork } from "../ports/UnitOfWork.ts";
import * as Batch from "./Batch.ts";
import type { Failure } from "./Mailbox.ts";
import * as Worker from "./Worker.ts";

/** Messages handed to the mailbox at once. */
export const CONSUMER_BATCH_MAX = 500;

export interface Options<R> {
  /** Consumer group, and the consumer's name in the dead letters. */
  readonly group: string;
  readonly catalogue: Message.Catalogue;
  /** What this consumer reads; other types on the same topics are skipped. */
  readonly types: ReadonlyArray<Message.AnyType>;
  /** One exit per envelope, in order. A `StoreError` that is not the message's fault makes the whole batch come again. */
  readonly handle: (envelopes: ReadonlyArray<Message.Envelope>) => Effect.Effect<ReadonlyArray<Exit.Exit<unknown, Failure>>, never, R>;
  /** Messages of one partition handed over at once, at most. */
  readonly batchMax?: number;
}

const dead = Metric.counter("saga_dead_letters_total", { description: "Messages put aside", incremental: true });

type Ports = DeadLetters | UnitOfWork;

/** Handles one batch of deliveries. Succeeds when all of it may be acknowledged. */
export const handleBatch = <R>(options: Options<R>) => {
  const known = new Set(options.types.map((type) => type.type));
  return Effect.fnUntraced(function* (batch: ReadonlyArray<Delivery>): Effect.fn.Return<void, StoreError, R | Ports> {
    const letters: Array<Omit<DeadLetter, "at">> = [];
    const read: Array<{ readonly envelope: Message.Envelope; readonly delivery: Extract<Delivery, { _tag: "Readable" }> }> = [];
    for (const delivery of batch) {
      if (delivery._tag === "Foreign") {
        letters.push(foreignLetter(options.group, delivery));
        continue;
      }
      if (!known.has(delivery.message.type)) continue;
      if (!isNameable(delivery.message)) {
        letters.push(letter(options.group, { ...delivery, message: renamed(delivery) }, "nameTooLong", "its id or key is too long"));
        continue;
      }
      const envelope = Message.decode(options.catalogue, delivery.message);
      if (Result.isSuccess(envelope)) read.push({ envelope: envelope.success, delivery });
      else letters.push(letter(options.group, delivery, envelope.failure.problem, envelope.failure.detail));
    }
    const exits = read.length === 0 ? [] : yield* options.handle(read.map(({ envelope }) => envelope));
    for (const [index, { delivery }] of read.entries()) {
      const exit = exits[index] ?? Exit.fail(Batch.refused(options.group, "its batch gave it no answer"));
      if (Exit.isSuccess(exit)) continue;
      const failure = Cause.squash(exit.cause);
      // Not the message's fault. It comes again, and the inbox knows.
      const outage = outageOf(options.group, failure);
      if (outage !== null) return yield* outage;
      letters.push(letter(options.group, delivery, "poisoned", detailOf(failure)));
    }
    if (letters.length > 0) yield* bury(letters);
  });
};

/** Characters of an id or a key: at most 900 bytes, which an index takes. Longer ones are nobody's ids. */
export const NAME_MAX = 300;

/** Can it be stored under its own id and key? */
export const isNameable = ({ id, key }: Message.Meta): boolean => id.length <= NAME_MAX && key.length <= NAME_MAX;

/** Under its position instead, with all it holds. */
export const renamed = ({ message, position }: Extract<Delivery, { _tag: "Readable" }>): Message.Encoded => {
  const name = formatPosition(position);
  return { ...message, id: name, key: name };
};

/** Consumes for as long as the layer lives; subscribes again after a failure. */
export const layer = <R>(options: Options<R>): Layer.Layer<never, never, R | Ports | MessageBus> =>
  Worker.layer(`MessageConsumer(${options.group})`, consume(options));

/** Consumes until the broker is lost or a batch fails. */
export const consume = Effect.fnUntraced(function* <R>(
  options: Options<R>,
): Effect.fn.Return<never, BusError | StoreError, R | Ports | MessageBus> {
  const bus = yield* MessageBus;
  const topics = [...new Set(options.types.map((type) => type.topic))].toSorted();
  const subscription: Subscription = { group: options.group, topics, batchMax: options.batchMax ?? CONSUMER_BATCH_MAX };
  return yield* bus.consume(subscription, handleBatch(options));
});

const bury = Effect.fnUntraced(function* (letters: ReadonlyArray<Omit<DeadLetter, "at">>) {
  const unitOfWork = yield* UnitOfWork;
  yield* unitOfWork.commit(
    Effect.gen(function* () {
      const { now } = yield* Transaction;
      const deadLetters = yield* DeadLetters;
      yield* deadLetters.append(letters.map((each) => ({ ...each, at: now })));
    }),
  );
  yield* Metric.update(dead, letters.length);
  for (const each of letters) {
    yield* Effect.logError(`${each.consumer}: put message ${each.message.id} (${each.message.type}) aside: ${each.problem}`);
  }
});

const letter = (
  consumer: string,
  delivery: Extract<Delivery, { _tag: "Readable" }>,
  problem: string,
  detail: string,
): Omit<DeadLetter, "at"> => ({
  consumer,
  message: delivery.message,
  position: formatPosition(delivery.position),
  problem,
  detail,
  attempts: 1,
});

/** Of a record that is no message. */
export const FOREIGN_DETAIL = "the record is not a CloudEvent of this system";

/** A record that is no message of ours: kept by its position, since it has no identity. */
const foreignLetter = (consumer: string, delivery: Extract<Delivery, { _tag: "Foreign" }>): Omit<DeadLetter, "at"> => ({
  consumer,
  message: foreignMessage(delivery),
  position: formatPosition(delivery.position),
  problem: delivery.problem,
  detail: FOREIGN_DETAIL,
  attempts: 1,
});

/** Stands for a record that is no message: its identity is its position. */
export const foreignMessage = ({ position, topic }: Extract<Delivery, { _tag: "Foreign" }>): Message.Encoded => {
  const id = formatPosition(position);
  return {
    id,
    type: "foreign",
    topic,
    key: id,
    occurredAt: 0,
    correlationId: id,
    causationId: null,
    stepKey: null,
    saga: null,
    traceparent: null,
    tracestate: null,
    payload: "null",
  };
};

/** Nobody's fault: an outage, a full mailbox, an unknown commit, someone else's message. Null: the message's own. */
export const outageOf = (group: string, failure: unknown): StoreError | null => {
  if (failure instanceof StoreError) return failure;
  if (failure instanceof Batch.LeftAlone)
    return new StoreError({ reason: "Unavailable", operation: "MessageConsumer.handle", message: failure.message });
  return isMailboxFull(failure) ? unavailable(group) : null;
};

/** For the dead letter alone, where a person looks for the cause: it may quote the message. */
export const detailOf = (failure: unknown): string => {
  if (failure instanceof Batch.Poisoned) return `${failure.mailbox} cannot handle this item: ${failure.detail}`;
  return failure instanceof Error ? failure.message : "a defect";
};

const isMailboxFull = (failure: unknown): boolean =>
  typeof failure === "object" && failure !== null && "_tag" in failure && failure._tag === "MailboxFull";

const unavailable = (group: string): StoreError =>
  new StoreError({ reason: "Unavailable", operation: "MessageConsumer.handle", message: `${group} has too much waiting` });
