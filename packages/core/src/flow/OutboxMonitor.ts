/**
 * Tells how an outbox is doing, as gauges with the label `outbox`: what waits, for how long the oldest has waited, and what
 * waits for a person. Counts end at `BACKLOG_COUNT_MAX`, so looking costs the same whatever waits. The rate of publishing
 * is that of the relay's counter `saga_outbox_published_total`.
 *
 * An alarm belongs on the age, which has no bound: it also grows when a relay is gone and nothing is counted any more.
 */
import { Clock, Duration, Effect, type Layer, Metric } from "effect";
import { type Backlog, Outbox } from "../ports/Outbox.ts";
import type { StoreError } from "../ports/StoreError.ts";
import * as Worker from "./Worker.ts";

/** Rest between two looks, in milliseconds: the usual scrape interval is 15 s. */
export const LOOK_EVERY_MS = 10_000;

const pending = Metric.gauge("saga_outbox_pending", { description: "Messages that wait to be published" });
const oldestAge = Metric.gauge("saga_outbox_oldest_age_seconds", {
  description: "Age of the message that has waited longest to be published; 0 if none does",
});
const parked = Metric.gauge("saga_outbox_parked", { description: "Messages that the broker refused for good, and that wait for a person" });
const held = Metric.gauge("saga_outbox_held", { description: "Messages that wait behind a parked one of their key" });

/** Looks once. `name` tells outboxes of one process apart, e.g. the service's schema. */
export const lookOnce = Effect.fnUntraced(function* (name: string): Effect.fn.Return<Backlog, StoreError, Outbox> {
  const backlog = yield* (yield* Outbox).backlog;
  const now = yield* Clock.currentTimeMillis;
  const labels = { outbox: name };
  yield* Metric.update(Metric.withAttributes(pending, labels), backlog.pending);
  yield* Metric.update(
    Metric.withAttributes(oldestAge, labels),
    backlog.oldestAt === null ? 0 : Math.max(0, now - backlog.oldestAt) / 1000,
  );
  yield* Metric.update(Metric.withAttributes(parked, labels), backlog.parked);
  yield* Metric.update(Metric.withAttributes(held, labels), backlog.held);
  return backlog;
});

export const layer = (name: string): Layer.Layer<never, never, Outbox> =>
  Worker.layer(`OutboxMonitor(${name})`, Effect.andThen(lookOnce(name), Effect.sleep(Duration.millis(LOOK_EVERY_MS))));
