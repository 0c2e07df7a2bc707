/**
 * Store-then-process as one layer: a puller and workers, with the options of a `MessageConsumer`, in whose place it goes.
 *
 * - `MessageConsumer` (admit in the handler's transaction) is faster: nothing is written for a message but its effect. While
 *   handlers are slow or a message is tried again, its partition waits in the broker.
 * - `StoredConsumer` takes messages off the broker at once, whatever the handlers do: a partition never waits for a poisonous
 *   or slow message, any number of workers share one partition, what waits can be counted and outlives the topic's retention.
 *   It writes and deletes a row a message.
 */
import { Layer } from "effect";
import type { InboxQueue } from "../ports/InboxQueue.ts";
import type { Lock } from "../ports/Lock.ts";
import type { MessageBus } from "../ports/MessageBus.ts";
import type { UnitOfWork } from "../ports/UnitOfWork.ts";
import * as InboxPuller from "./InboxPuller.ts";
import * as InboxWorker from "./InboxWorker.ts";

export type Options<R> = InboxWorker.Options<R>;

export const layer = <R>(options: Options<R>): Layer.Layer<never, never, R | InboxQueue | UnitOfWork | Lock | MessageBus> =>
  Layer.merge(InboxPuller.layer(options), InboxWorker.layer(options));
