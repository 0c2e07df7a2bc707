/** What the cases of `Outbox` share: appending, draining, and keys whose shard is empty. */
import { Effect } from "effect";
import type * as Message from "../../domain/Message.ts";
import { Outbox, type PublishVerdict } from "../../ports/Outbox.ts";
import { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as Samples from "./Samples.ts";

export type Messages = ReadonlyArray<Message.Encoded>;

export const UNLIMITED = 1_000;

/** Appends in a transaction of its own. */
export const append = Effect.fnUntraced(function* (messages: Messages) {
  yield* (yield* UnitOfWork).commit((yield* Outbox).append(messages));
});

export const publishAll = (batch: Messages): Effect.Effect<ReadonlyArray<PublishVerdict>> => Effect.succeed(batch.map(() => "Published"));

/** One drain that publishes everything; what it was handed, in order. */
export const drain = Effect.fnUntraced(function* (shard: number, max: number = UNLIMITED) {
  const handed: Array<Message.Encoded> = [];
  const result = yield* (yield* Outbox).drain(shard, max, (batch) => {
    handed.push(...batch);
    return publishAll(batch);
  });
  yield* Contract.equal(result, { _tag: "Drained", published: handed.length, refused: 0, held: 0 }, "the drain's answer");
  return handed;
});

/** A key whose shard has nothing pending: what earlier cases left there is published first. */
export const freshKey = Effect.fnUntraced(function* () {
  const key = yield* Contract.unique("outbox");
  while ((yield* drain(Samples.shardOf(key))).length > 0);
  return key;
});

export const ids = (messages: Messages): ReadonlyArray<string> => messages.map((message) => message.id);

export const isPending = Effect.fnUntraced(function* (key: string) {
  return (yield* (yield* Outbox).pendingShards).includes(Samples.shardOf(key));
});
