/**
 * The provider's worker: settles what was accepted, and tells about it by webhook, at least once, until it is heard.
 * Everything that is still to do is a durable timer, so a killed process goes on where it was.
 */
import { StoreError, type Timer, Timers } from "@org/saga-core";
import { Webhook } from "@example/contracts";
import { TimerPump, Worker } from "@org/saga-core";
import { Clock, Context, Duration, Effect, Layer, Schema } from "effect";
import { Intents, OWNER, SETTLE } from "./Intents.ts";

/** Timers worked on at a time. */
const CONCURRENCY = 16;

/** Milliseconds a claimed timer is hidden: above one delivery's time-out. */
export const LEASE_MS = 15_000;

/** Longest rest between two looks, in milliseconds: how late a timer of another process may be found. */
const POLL_MS = 250;

/** Milliseconds until a failed delivery is tried again: first, doubling, at most. */
export const BACKOFF_MS = 250;
export const BACKOFF_MAX_MS = 5_000;

/** Seconds after which a webhook is given up: three days, as Stripe does. */
export const GIVE_UP_SECONDS = 3 * 86_400;

/** The receiver did not say 2xx. */
export class NotDelivered extends Schema.TaggedError<NotDelivered>()("NotDelivered", { message: Schema.String }) {}

/** Tells the merchant. */
export class WebhookSender extends Context.Service<
  WebhookSender,
  { readonly send: (event: Webhook.Event) => Effect.Effect<void, NotDelivered> }
>()("@example/payment-provider/WebhookSender") {}

/** Works through the timers given. One that fails comes again after its lease and does not keep the others. */
export const handle = Effect.fn("Settlement.handle")(function* (timers: ReadonlyArray<Timer>) {
  yield* Effect.forEach(timers, work, { concurrency: CONCURRENCY, discard: true });
});

/** Everything due, once; how much it was. */
export const drainOnce = TimerPump.pumpOnce(OWNER, handle, LEASE_MS);

/** One pass: what is due; if nothing is, rest until something is. */
export const pass = Effect.gen(function* () {
  if ((yield* drainOnce) > 0) return;
  const timers = yield* Timers;
  const intents = yield* Intents;
  const next = yield* timers.nextDueAt(OWNER);
  const now = yield* Clock.currentTimeMillis;
  const rest = Duration.millis(next === null ? POLL_MS : Math.min(POLL_MS, Math.max(1, next - now)));
  yield* Effect.raceFirst(Effect.sleep(rest), intents.changed);
});

export const layer: Layer.Layer<never, never, Intents | Timers | WebhookSender> = Worker.layer("Settlement", pass);

const work = Effect.fnUntraced(
  function* (timer: Timer) {
    const intents = yield* Intents;
    if (timer.name === SETTLE) return yield* intents.settle(timer);
    const sender = yield* WebhookSender;
    const pending = yield* intents.pending(timer);
    if (pending === null) return yield* intents.delivered(timer);
    const failure = yield* sender.send(pending.event).pipe(
      Effect.as(null),
      Effect.catch((error) => Effect.succeed(error)),
    );
    if (failure === null) return yield* intents.delivered(timer);
    const now = yield* Clock.currentTimeMillis;
    if (now / 1000 - pending.event.created > GIVE_UP_SECONDS) {
      yield* Effect.logError(`webhook ${pending.event.type} given up after ${pending.attempts + 1} attempts`);
      return yield* intents.delivered(timer);
    }
    yield* intents.postponed(timer, pending, Math.min(BACKOFF_MS * 2 ** Math.min(pending.attempts, 10), BACKOFF_MAX_MS));
  },
  Effect.catch((error: StoreError) => Effect.logWarning(`a timer of the provider waits: ${error.message}`)),
);
