/**
 * Forgets what no longer protects anything: admitted messages, sent messages and answered requests past their retention.
 * Pending and parked messages are never forgotten.
 */
import { Clock, Duration, Effect, type Layer } from "effect";
import { IdempotencyKeys } from "../ports/IdempotencyKeys.ts";
import { Inbox } from "../ports/Inbox.ts";
import { Outbox } from "../ports/Outbox.ts";
import type { StoreError } from "../ports/StoreError.ts";
import * as Worker from "./Worker.ts";

/** How long a duplicate is recognized, in milliseconds: three days, longer than brokers and providers repeat. */
export const INBOX_RETENTION_MS = 259_200_000;

/** How long sent messages stay for people to look at, in milliseconds: one day. */
export const OUTBOX_RETENTION_MS = 86_400_000;

/** How long a request's answer is repeated, in milliseconds: one day, what the IETF draft asks for. */
export const IDEMPOTENCY_RETENTION_MS = 86_400_000;

/** Rest between two sweeps, in milliseconds. */
export const SWEEP_EVERY_MS = 60_000;

export interface Swept {
  readonly inbox: number;
  readonly outbox: number;
  readonly idempotencyKeys: number;
}

export const sweepOnce: Effect.Effect<Swept, StoreError, Inbox | Outbox | IdempotencyKeys> = Effect.gen(function* () {
  const now = yield* Clock.currentTimeMillis;
  const inbox = yield* Inbox;
  const outbox = yield* Outbox;
  const idempotencyKeys = yield* IdempotencyKeys;
  return {
    inbox: yield* inbox.sweep(now - INBOX_RETENTION_MS),
    outbox: yield* outbox.sweep(now - OUTBOX_RETENTION_MS),
    idempotencyKeys: yield* idempotencyKeys.sweep(now - IDEMPOTENCY_RETENTION_MS),
  };
});

export const layer: Layer.Layer<never, never, Inbox | Outbox | IdempotencyKeys> = Worker.layer(
  "Retention",
  Effect.andThen(sweepOnce, Effect.sleep(Duration.millis(SWEEP_EVERY_MS))),
);
