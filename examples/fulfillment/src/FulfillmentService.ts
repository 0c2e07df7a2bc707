/**
 * The fulfillment service: takes orders that are paid, works on them, and tells how it went. One document a shipment; state
 * change, timer and message are one commit.
 */
import { Concurrency } from "@example/contracts";
import { Context, Effect, Layer, Schema } from "effect";
import {
  Aggregate,
  CheckoutMessages,
  CommandHandler,
  type DeadLetters,
  DocumentAggregate,
  type DocumentStore,
  Mailbox,
  type MessageBus,
  MessageConsumer,
  OrderId,
  OutboxMonitor,
  OutboxRelay,
  Retention,
  TimerPump,
  type Timestamp,
  type UnitOfWork,
} from "@org/saga-core";
import * as Shipment from "./Shipment.ts";
import { fromMessage, react } from "./ShipmentMessages.ts";

/** Kind of the documents, consumer group, consumer name and owner of the timers. */
export const NAME = "fulfillment";

export type Input = Aggregate.Input<(now: Timestamp) => Shipment.Command>;
export type Handled = CommandHandler.Handled<DocumentAggregate.Answer<Shipment.Rejection>>;

/** The mailbox of all shipments. */
export class Shipments extends Context.Service<Shipments, Mailbox.Mailbox<Input, Handled>>()("@example/fulfillment/Shipments") {}

export const aggregate = (policy: Partial<Shipment.Policy> = {}) =>
  DocumentAggregate.make({
    name: NAME,
    decider: Shipment.make({ ...Shipment.defaults, ...policy }),
    schema: Shipment.Shipment,
    rejection: Schema.Never,
    fromMessage,
    fromTimer: (timer, now): Shipment.Command => ({ _tag: "Complete", orderId: OrderId.make(timer.key), now }),
    react,
  });

export const layer = (
  policy: Partial<Shipment.Policy> = {},
  bounds: Partial<Concurrency.Concurrency["mailbox"]> = {},
): Layer.Layer<Shipments, never, CommandHandler.Ports | DocumentStore> =>
  Layer.effect(Shipments, Mailbox.make({ name: NAME, key: Aggregate.keyOf, run: CommandHandler.runBatch(aggregate(policy)), ...bounds }));

/** Reads what it is asked. */
export const consumer = (
  concurrency: Concurrency.Concurrency,
): Layer.Layer<never, never, Shipments | DeadLetters | UnitOfWork | MessageBus> =>
  MessageConsumer.layer({
    group: NAME,
    batchMax: concurrency.consumer.batchMax,
    catalogue: CheckoutMessages.catalogue,
    types: [CheckoutMessages.FulfillOrder],
    handle: (envelopes) =>
      Effect.flatMap(Shipments, (mailbox) => mailbox.submitAll(envelopes.map((envelope) => ({ _tag: "Message", envelope })))),
  });

/** Publishes what it decided. */
export const relay = (concurrency: Concurrency.Concurrency) =>
  Layer.merge(OutboxRelay.layerWith(concurrency.relay), OutboxMonitor.layer("fulfillment"));

/** Ends work that is over, and forgets what is old. */
export const worker = ({ worker: { timersMax } }: Concurrency.Concurrency) =>
  Layer.merge(
    Layer.unwrap(Effect.map(Shipments, (mailbox) => TimerPump.layer(NAME, TimerPump.into(mailbox), TimerPump.LEASE_MS, timersMax))),
    Retention.layer,
  );

export type Role = "relay" | "consumer" | "worker";

const byRole = { relay, consumer, worker };

/** The background work of a process with these roles. */
export const roles = (names: ReadonlyArray<Role>, concurrency: Concurrency.Concurrency = Concurrency.defaults) =>
  Layer.mergeAll(Layer.empty, ...names.map((name) => byRole[name](concurrency)));
