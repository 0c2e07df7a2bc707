/**
 * The broker. At least once; per topic and key in publish order; a consumer group shares the work by key.
 *
 * It carries encoded messages: what they mean is the catalogue's affair.
 */
import { Context, type Effect } from "effect";
import type * as Message from "../domain/Message.ts";
import type { PublishVerdict } from "./Outbox.ts";
import type { BusError } from "./StoreError.ts";

/** Where a record stands in the broker. */
export interface Position {
  /** As the broker knows it, with the installation's prefix. */
  readonly topic: string;
  readonly partition: number;
  /** Exact up to 2^53: a thousand records a microsecond for nine years. */
  readonly offset: number;
}

/** A position for people, and as the name of a record that has none: `inventory.commands/3/1207`. */
export const formatPosition = ({ topic, partition, offset }: Position): string => `${topic}/${partition}/${offset}`;

/** A message and where it stands. What could not even be decoded to `Encoded` is `Foreign`. */
export type Delivery =
  | { readonly _tag: "Readable"; readonly position: Position; readonly message: Message.Encoded }
  | { readonly _tag: "Foreign"; readonly position: Position; readonly topic: string; readonly problem: string };

export interface Subscription {
  readonly group: string;
  readonly topics: ReadonlyArray<string>;
  /** Messages handed over at once, at most. */
  readonly batchMax: number;
}

export class MessageBus extends Context.Service<
  MessageBus,
  {
    /**
     * Publishes in this order. Returns when the broker has all of them (one verdict each), fails with `Unavailable` if
     * some may be missing: then the same list is published again. Behind a message that is `Refused`, later ones of its
     * topic and key are `Held`: not sent, so that whoever publishes decides whether they may overtake it.
     */
    readonly publish: (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<ReadonlyArray<PublishVerdict>, BusError>;
    /**
     * Consumes for as long as it runs. `handle` gets batches in which the messages of a key are in publish order; what
     * it got is acknowledged only after it succeeded (the database commit comes first). If it fails, or the process
     * dies, the batch comes again, before any later message of its keys. Fails with `Unavailable` when the broker is
     * lost for good; the caller subscribes again.
     */
    readonly consume: <E, R>(
      subscription: Subscription,
      handle: (batch: ReadonlyArray<Delivery>) => Effect.Effect<void, E, R>,
    ) => Effect.Effect<never, BusError | E, R>;
    /** Creates the topics that do not exist. Safe to call from many processes. */
    readonly ensureTopics: (topics: ReadonlyArray<string>) => Effect.Effect<void, BusError>;
  }
>()("@org/saga-core/ports/MessageBus") {}
