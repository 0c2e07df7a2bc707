/** What the cases of `InboxQueue` share: a consumer of its own for each case, storing, and working at a shard. */
import { Effect } from "effect";
import * as Shard from "../../domain/Shard.ts";
import {
  type ClaimedMessage,
  type FollowerPolicy,
  type InboxMark,
  InboxQueue,
  INBOX_SHARDS,
  type StoredMessage,
} from "../../ports/InboxQueue.ts";
import { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as Samples from "./Samples.ts";

export const UNLIMITED = 1_000;

export const TOPIC = "contract.sample";

export const HANDLED: InboxMark = { _tag: "Handled" };
export const LEFT: InboxMark = { _tag: "Left" };

/** Long enough that no case meets its end. */
export const NEVER: InboxMark = { _tag: "Failed", afterMillis: 3_600_000 };

/** Due at once. */
export const AGAIN: InboxMark = { _tag: "Failed", afterMillis: 0 };

export const shardOf = (key: string): number => Shard.of(key, INBOX_SHARDS);

/** A message of `key`, at `offset` of partition 0. */
export const stored = Effect.fnUntraced(function* (key: string, offset: number, over: Partial<StoredMessage> = {}) {
  const message = yield* Samples.message(key, offset);
  const each: StoredMessage = { position: { topic: TOPIC, partition: 0, offset }, message, problem: null, ...over };
  return each;
});

/** Messages of one key at the offsets `from` to `from + count - 1`. */
export const run = (key: string, count: number, from = 1): Effect.Effect<ReadonlyArray<StoredMessage>> =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => from + index),
    (offset) => stored(key, offset),
  );

/** Stores in a transaction of its own. */
export const store = Effect.fnUntraced(function* (consumer: string, messages: ReadonlyArray<StoredMessage>, fence: number = 1) {
  return yield* (yield* UnitOfWork).commit((yield* InboxQueue).store(consumer, fence, messages));
});

export interface Work {
  readonly max?: number;
  readonly policy?: FollowerPolicy;
  /** The mark of each; `Handled`, if it has nothing to say. */
  readonly mark?: (message: ClaimedMessage) => InboxMark | undefined;
}

/** One pass at a shard; what was handed over. */
export const work = Effect.fnUntraced(function* (consumer: string, shard: number, options: Work = {}) {
  const handed: Array<ClaimedMessage> = [];
  const result = yield* (yield* InboxQueue).process(consumer, shard, options.max ?? UNLIMITED, options.policy ?? "wait", (messages) => {
    handed.push(...messages);
    return Effect.succeed(messages.map((message) => options.mark?.(message) ?? HANDLED));
  });
  yield* Contract.equal(result._tag, "Processed", "the pass's answer");
  return handed;
});

/** The offsets of what was handed over. */
export const offsets = (messages: ReadonlyArray<StoredMessage>): ReadonlyArray<number> => messages.map(({ position }) => position.offset);

/** Works until nothing is left that can be handled now; all that was handed over. */
export const workOut = Effect.fnUntraced(function* (consumer: string, shard: number, options: Work = {}) {
  const all: Array<ClaimedMessage> = [];
  while ((yield* (yield* InboxQueue).pendingShards(consumer)).includes(shard)) all.push(...(yield* work(consumer, shard, options)));
  return all;
});

/** Marks one offset; the rest is handled. */
export const only =
  (offset: number, mark: InboxMark) =>
  ({ position }: ClaimedMessage): InboxMark | undefined =>
    position.offset === offset ? mark : undefined;
