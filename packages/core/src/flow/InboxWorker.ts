/**
 * The workers of store-then-process: handle what a puller stored, shard by shard, in order per key. Any number of processes
 * may run them; a shard has one worker at a time.
 *
 * - Handled as by a `MessageConsumer`: the handler's own transaction admits through the `Inbox`, so a worker that dies
 *   between its commit and the mark meets a `Duplicate` the next time, never a second effect.
 * - A message that fails comes again in the background, later each time; its key's later messages wait for it, or follow, by
 *   policy; other keys go on. After `attemptsMax` it is a dead letter, and its followers go on.
 * - What cannot be read can never be: a dead letter at once.
 * - An outage is nobody's fault: it counts as no attempt.
 */
import { Cause, Clock, Duration, Effect, Exit, Layer, Metric, Result } from "effect";
import * as Message from "../domain/Message.ts";
import { type ClaimedMessage, type FollowerPolicy, type InboxMark, InboxQueue } from "../ports/InboxQueue.ts";
import type { StoreError } from "../ports/StoreError.ts";
import * as Batch from "./Batch.ts";
import { detailOf, FOREIGN_DETAIL, type Options as ConsumerOptions, outageOf } from "./MessageConsumer.ts";
import * as Worker from "./Worker.ts";

/** Messages of one shard in one pass: some group commits. */
export const WORK_BATCH_MAX = 500;

/** Shards handled at a time by one process. Each holds a connection, while its handler uses others. */
export const SHARDS_IN_FLIGHT = 2;

/** Attempts before a message is a dead letter. With the pauses below that is eight and a half minutes. */
export const ATTEMPTS_MAX = 10;

/** Pause after the first failure, in milliseconds. Doubles up to `BACKOFF_MAX_MS`. */
export const BACKOFF_MS = 1_000;
export const BACKOFF_MAX_MS = 300_000;

/**
 * How long a message that this process leaves alone rests, in milliseconds: an instance of a version that only another process
 * knows. It is offered again for ever: in a rolling deploy, to that process sooner or later. A few queries a minute each.
 */
export const ELSEWHERE_MS = 5_000;

/** A pass begins no further round after this time, in milliseconds: a database ends a transaction that is idle for longer. */
export const ROUNDS_MS = 5_000;

/** Longest rest without a look at the queue, in milliseconds. */
export const POLL_MS = 250;

/** Between two counts for the gauges, in milliseconds: counting costs what is stored. */
export const GAUGES_MS = 15_000;

export interface Options<R> extends ConsumerOptions<R> {
  /** What the messages behind a failed one do; `wait` by default. */
  readonly policy?: FollowerPolicy;
  readonly attemptsMax?: number;
  readonly shardsInFlight?: number;
  readonly backoff?: { readonly firstMillis: number; readonly maxMillis: number };
}

const dead = Metric.counter("saga_dead_letters_total", { description: "Messages put aside", incremental: true });
const failures = Metric.counter("saga_inbox_failures_total", { description: "Attempts at stored messages that failed", incremental: true });
const unprocessed = Metric.gauge("saga_inbox_unprocessed", { description: "Messages that are stored and not handled" });
const failed = Metric.gauge("saga_inbox_failed", { description: "Stored messages that failed and wait for another attempt" });
const oldestAge = Metric.gauge("saga_inbox_oldest_age_seconds", {
  description: "Age of the oldest message that is stored and not handled",
});

/** Works for as long as the layer lives, and keeps the gauges. */
export const layer = <R>(options: Options<R>): Layer.Layer<never, never, R | InboxQueue> =>
  Layer.merge(
    Worker.layer(`InboxWorker(${options.group})`, pass(options)),
    Worker.layer(`InboxGauges(${options.group})`, Effect.andThen(gauge(options.group), Effect.sleep(Duration.millis(GAUGES_MS)))),
  );

/** One pass: work, and rest if there was nothing. */
export const pass = Effect.fnUntraced(function* <R>(options: Options<R>): Effect.fn.Return<void, StoreError, R | InboxQueue> {
  const queue = yield* InboxQueue;
  if ((yield* workOnce(options)) === 0) yield* queue.awaitPending(options.group, Duration.millis(POLL_MS));
});

/**
 * Works at every shard that has something, once; returns how many messages were looked at. A shard that fails holds up no
 * other; its failure is told at the end.
 */
export const workOnce = Effect.fnUntraced(function* <R>(options: Options<R>): Effect.fn.Return<number, StoreError, R | InboxQueue> {
  const queue = yield* InboxQueue;
  const shards = yield* queue.pendingShards(options.group);
  const exits = yield* Effect.forEach(shards, (shard) => Effect.exit(workAt(options, shard)), {
    concurrency: options.shardsInFlight ?? SHARDS_IN_FLIGHT,
  });
  let count = 0;
  for (const exit of exits) {
    if (Exit.isFailure(exit)) return yield* exit;
    count += exit.value;
  }
  return count;
});

/** Works at one shard, once. */
const workAt = Effect.fnUntraced(function* <R>(options: Options<R>, shard: number): Effect.fn.Return<number, StoreError, R | InboxQueue> {
  const queue = yield* InboxQueue;
  const policy = options.policy ?? "wait";
  const outages: Array<StoreError> = [];
  const result = yield* queue.process(options.group, shard, options.batchMax ?? WORK_BATCH_MAX, policy, (messages) =>
    Effect.map(handleAll(options, messages), (batch) => {
      if (batch.outage !== null) outages.push(batch.outage);
      return batch.marks;
    }),
  );
  const [outage] = outages;
  if (outage !== undefined) return yield* outage;
  if (result._tag === "Busy") return 0;
  const consumer = { consumer: options.group };
  if (result.dead > 0) yield* Metric.update(dead, result.dead);
  if (result.failed + result.dead > 0) yield* Metric.update(Metric.withAttributes(failures, consumer), result.failed + result.dead);
  return result.handled + result.failed + result.dead + result.held;
});

interface Marked {
  readonly marks: ReadonlyArray<InboxMark>;
  /** Why some were left. */
  readonly outage: StoreError | null;
}

interface Item {
  readonly index: number;
  readonly claimed: ClaimedMessage;
  readonly envelope: Message.Envelope;
}

const LEFT: InboxMark = { _tag: "Left" };

/** Hands over what can be read, in rounds; one mark per message. */
const handleAll = Effect.fnUntraced(function* <R>(
  options: Options<R>,
  messages: ReadonlyArray<ClaimedMessage>,
): Effect.fn.Return<Marked, never, R> {
  const marks: Array<InboxMark> = messages.map(() => LEFT);
  const items: Array<Item> = [];
  for (const [index, claimed] of messages.entries()) {
    const read = readOf(options, claimed);
    if (Result.isFailure(read)) marks[index] = read.failure;
    else items.push({ index, claimed, envelope: read.success });
  }
  const end = (yield* Clock.currentTimeMillis) + ROUNDS_MS;
  for (const round of roundsOf(options.policy ?? "wait", items, marks)) {
    const exits = yield* options.handle(round.map(({ envelope }) => envelope));
    let outage: StoreError | null = null;
    for (const [position, item] of round.entries()) {
      const exit = exits[position] ?? Exit.fail(Batch.refused(options.group, "its batch gave it no answer"));
      const failure = Exit.isFailure(exit) ? Cause.squash(exit.cause) : null;
      if (failure instanceof Batch.LeftAlone) {
        marks[item.index] = { _tag: "Failed", afterMillis: ELSEWHERE_MS };
        continue;
      }
      const fault = Exit.isFailure(exit) ? outageOf(options.group, failure) : null;
      outage ??= fault;
      if (Exit.isSuccess(exit)) marks[item.index] = { _tag: "Handled" };
      else if (fault === null) marks[item.index] = yield* failedMark(options, item.claimed, failure);
    }
    if (outage !== null) return { marks, outage };
    if ((yield* Clock.currentTimeMillis) >= end) break;
  }
  return { marks, outage: null };
});

const readOf = <R>(options: Options<R>, { message, problem }: ClaimedMessage): Result.Result<Message.Envelope, InboxMark> => {
  if (problem !== null) return Result.fail({ _tag: "Dead", problem, detail: FOREIGN_DETAIL });
  return Result.mapError(Message.decode(options.catalogue, message), (unreadable): InboxMark => ({
    _tag: "Dead",
    problem: unreadable.problem,
    detail: unreadable.detail,
  }));
};

/**
 * With `follow`, all at once. With `wait`, a message is handed over when the one before it of its key is done for: a round
 * has one message a key, and none of a key whose last one was not.
 */
function* roundsOf(
  policy: FollowerPolicy,
  items: ReadonlyArray<Item>,
  marks: ReadonlyArray<InboxMark>,
): Generator<ReadonlyArray<Item>, void> {
  if (policy === "follow") {
    if (items.length > 0) yield items;
    return;
  }
  const lanes = Map.groupBy(items, ({ claimed }) => claimed.message.key);
  for (let depth = 0; ; depth += 1) {
    const round: Array<Item> = [];
    for (const [key, lane] of lanes) {
      const before = lane[depth - 1];
      const isStuck = before !== undefined && ["Left", "Failed"].includes(marks[before.index]?._tag ?? "Left");
      const item = lane[depth];
      if (isStuck || item === undefined) lanes.delete(key);
      else round.push(item);
    }
    if (round.length === 0) return;
    yield round;
  }
}

/** Another attempt, later; or none. */
const failedMark = Effect.fnUntraced(function* <R>(
  options: Options<R>,
  { attempts, message }: ClaimedMessage,
  failure: unknown,
): Effect.fn.Return<InboxMark> {
  const made = attempts + 1;
  const what = `${options.group}: message ${message.id} (${message.type}) failed, attempt ${made}: ${Batch.saidOf(failure)}`;
  if (made >= (options.attemptsMax ?? ATTEMPTS_MAX)) {
    yield* Effect.logError(`${what}; put aside`);
    return { _tag: "Dead", problem: "poisoned", detail: detailOf(failure) };
  }
  const afterMillis = pauseOf(options, made);
  yield* Effect.logWarning(`${what}; again in ${afterMillis} ms`);
  return { _tag: "Failed", afterMillis };
});

const pauseOf = <R>({ backoff }: Pick<Options<R>, "backoff">, attempt: number): number =>
  Math.min((backoff?.firstMillis ?? BACKOFF_MS) * 2 ** (attempt - 1), backoff?.maxMillis ?? BACKOFF_MAX_MS);

/** How long a message is tried before it is a dead letter, in milliseconds, handlers not counted. For `Retention`'s `retries`. */
export const retriesMillis = <R>(options: Pick<Options<R>, "attemptsMax" | "backoff"> = {}): number =>
  Array.from({ length: (options.attemptsMax ?? ATTEMPTS_MAX) - 1 }, (_, index) => pauseOf(options, index + 1)).reduce(
    (sum, pause) => sum + pause,
    0,
  );

/** Counts, for the gauges. */
export const gauge = Effect.fnUntraced(function* (group: string): Effect.fn.Return<void, StoreError, InboxQueue> {
  const queue = yield* InboxQueue;
  const backlog = yield* queue.backlog(group);
  const age = backlog.oldestAt === null ? 0 : Math.max(0, (yield* Clock.currentTimeMillis) - backlog.oldestAt) / 1_000;
  const consumer = { consumer: group };
  yield* Metric.update(Metric.withAttributes(unprocessed, consumer), backlog.unprocessed);
  yield* Metric.update(Metric.withAttributes(failed, consumer), backlog.failed);
  yield* Metric.update(Metric.withAttributes(oldestAge, consumer), age);
});
