/**
 * How long things are kept, and the worker that forgets what no longer protects anything: admitted messages, sent messages
 * and answered requests past their retention. Pending and parked messages are never forgotten.
 *
 * The inbox has to remember a message for as long as it can come again: while it waits in the topic, is tried again, or is
 * redriven from the dead letters. A policy in which it forgets earlier would let duplicates act twice, so there is none:
 * `make` refuses it.
 */
import { Context, Duration, Effect, Layer, Result, Schema } from "effect";
import { IdempotencyKeys } from "../ports/IdempotencyKeys.ts";
import { Inbox } from "../ports/Inbox.ts";
import { Outbox, OUTBOX_KEPT_MAX_MS } from "../ports/Outbox.ts";
import type { StoreError } from "../ports/StoreError.ts";
import { Transaction, UnitOfWork } from "../ports/UnitOfWork.ts";
import * as Worker from "./Worker.ts";

/** How long each is kept. */
export interface Durations {
  /** A duplicate is recognized. */
  readonly inbox: Duration.Duration;
  /** Sent messages stay for people to look at: at most three days (`OUTBOX_KEPT_MAX_MS`). */
  readonly outbox: Duration.Duration;
  /** A request's answer is repeated. */
  readonly idempotencyKeys: Duration.Duration;
  /** `retention.ms` of the topics: how long a consumer may be away and lose nothing. */
  readonly topic: Duration.Duration;
  /** A dead letter may be redriven. */
  readonly deadLetters: Duration.Duration;
  /** A message is tried again before it is a dead letter: `InboxWorker.retriesMillis`, and how long an outage may last. */
  readonly retries: Duration.Duration;
}

export type Options = { readonly [K in keyof Durations]?: Duration.Input | undefined };

const SETTINGS = ["inbox", "outbox", "idempotencyKeys", "topic", "deadLetters", "retries"] as const;

export class RetentionError extends Schema.TaggedError<RetentionError>()("RetentionError", {
  /** Which of the durations is to be changed. */
  setting: Schema.Literals(SETTINGS),
  message: Schema.String,
}) {}

/** Fit each other: 1 hour + 36 hours + 1 day are less than 3 days. */
const DEFAULTS: Durations = {
  inbox: Duration.days(3),
  outbox: Duration.days(1),
  // What the IETF draft on idempotency keys asks for.
  idempotencyKeys: Duration.days(1),
  topic: Duration.days(1),
  // A night and a day: whoever redrives later than that, looks first whether it was handled.
  deadLetters: Duration.hours(36),
  retries: Duration.hours(1),
};

/** Durations that fit each other: made by `make` only. */
export class Policy implements Durations {
  readonly inbox: Duration.Duration;
  readonly outbox: Duration.Duration;
  readonly idempotencyKeys: Duration.Duration;
  readonly topic: Duration.Duration;
  readonly deadLetters: Duration.Duration;
  readonly retries: Duration.Duration;

  private constructor(durations: Durations) {
    this.inbox = durations.inbox;
    this.outbox = durations.outbox;
    this.idempotencyKeys = durations.idempotencyKeys;
    this.topic = durations.topic;
    this.deadLetters = durations.deadLetters;
    this.retries = durations.retries;
  }

  static of(durations: Durations): Result.Result<Policy, RetentionError> {
    const problem = problemOf(durations);
    return problem === null ? Result.succeed(new Policy(durations)) : Result.fail(problem);
  }
}

/** The policy with the defaults for what is not given, or what is wrong with it: it shows the sum. */
export const make = (options: Options = {}): Result.Result<Policy, RetentionError> =>
  Policy.of({
    inbox: given(options.inbox, DEFAULTS.inbox),
    outbox: given(options.outbox, DEFAULTS.outbox),
    idempotencyKeys: given(options.idempotencyKeys, DEFAULTS.idempotencyKeys),
    topic: given(options.topic, DEFAULTS.topic),
    deadLetters: given(options.deadLetters, DEFAULTS.deadLetters),
    retries: given(options.retries, DEFAULTS.retries),
  });

export const defaults: Policy = Result.getOrThrow(make());

/** The policy of this process. Whoever starts it may provide another one. */
export const CurrentPolicy: Context.Reference<Policy> = Context.Reference<Policy>("@org/saga-core/flow/Retention/CurrentPolicy", {
  defaultValue: () => defaults,
});

/** Rest between two sweeps, in milliseconds. */
export const SWEEP_EVERY_MS = 60_000;

export interface Swept {
  readonly inbox: number;
  readonly outbox: number;
  readonly idempotencyKeys: number;
}

type Ports = UnitOfWork | Inbox | Outbox | IdempotencyKeys;

/**
 * Forgets, once, what is past its retention by the current policy. By the database's clock, which dated it: a process whose own
 * is days ahead would forget what still protects.
 */
export const sweepOnce: Effect.Effect<Swept, StoreError, Ports> = Effect.gen(function* () {
  const policy = yield* CurrentPolicy;
  const unitOfWork = yield* UnitOfWork;
  const now = yield* unitOfWork.commit(Effect.map(Transaction, (transaction) => transaction.now));
  const inbox = yield* Inbox;
  const outbox = yield* Outbox;
  const idempotencyKeys = yield* IdempotencyKeys;
  return {
    inbox: yield* inbox.sweep(now - Duration.toMillis(policy.inbox)),
    outbox: yield* outbox.sweep(now - Duration.toMillis(policy.outbox)),
    idempotencyKeys: yield* idempotencyKeys.sweep(now - Duration.toMillis(policy.idempotencyKeys)),
  };
});

/** Sweeps in the background, by the current policy. */
export const layer: Layer.Layer<never, never, Ports> = Worker.layer(
  "Retention",
  Effect.andThen(sweepOnce, Effect.sleep(Duration.millis(SWEEP_EVERY_MS))),
);

/** Sweeps by a policy of its own; one that does not fit is refused at start. */
export const layerWith = (options: Options): Layer.Layer<never, RetentionError, Ports> =>
  Layer.unwrap(Effect.map(Effect.fromResult(make(options)), (policy) => Layer.provide(layer, Layer.succeed(CurrentPolicy, policy))));

function given(input: Duration.Input | undefined, fallback: Duration.Duration): Duration.Duration {
  return input === undefined ? fallback : Duration.fromInputUnsafe(input);
}

function problemOf(durations: Durations): RetentionError | null {
  const problem = (setting: RetentionError["setting"], message: string) => new RetentionError({ setting, message });
  const endless = SETTINGS.find((name) => !Duration.isFinite(durations[name]) || Duration.toMillis(durations[name]) <= 0);
  if (endless !== undefined) return problem(endless, `the retention of ${endless} has to be a time above 0, and to end`);
  const { deadLetters, inbox, outbox, retries, topic } = durations;
  if (Duration.toMillis(outbox) > OUTBOX_KEPT_MAX_MS) {
    const most = Duration.format(Duration.millis(OUTBOX_KEPT_MAX_MS));
    const text = `the outbox keeps sent messages for at most ${most}, not ${Duration.format(outbox)}: what is to be kept longer belongs in a topic or a table`;
    return problem("outbox", text);
  }
  const needed = Duration.sum(Duration.sum(retries, deadLetters), topic);
  if (Duration.isGreaterThanOrEqualTo(inbox, needed)) return null;
  const [kept, tried, dead, held, sum] = [inbox, retries, deadLetters, topic, needed].map(Duration.format);
  return problem(
    "inbox",
    `the inbox forgets a message after ${kept}, while it may come again for ${sum}: ` +
      `retries ${tried} + dead letters ${dead} + topic ${held}. Raise the inbox's retention to at least ${sum}, or lower one of the others`,
  );
}
