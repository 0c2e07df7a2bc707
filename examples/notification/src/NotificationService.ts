/**
 * The notification service: hears what happens to orders and tells the customer, once per status. Here telling is a record
 * and a line in the log; a real one would hand the record to a mail service by its id.
 */
import { Concurrency, type ServiceConfig } from "@example/contracts";
import { Context, Effect, Exit, Layer, Schema } from "effect";
import {
  Aggregate,
  CheckoutMessages as M,
  CommandHandler,
  type DeadLetters,
  DocumentAggregate,
  DocumentStore,
  InboxPuller,
  type InboxQueue,
  InboxWorker,
  type Lock,
  Mailbox,
  type Message,
  type MessageBus,
  MessageConsumer,
  type OrderId,
  OutboxMonitor,
  OutboxRelay,
  Retention,
  type UnitOfWork,
} from "@org/saga-core";
import * as Notice from "./Notice.ts";

/** Kind of the documents, consumer group and consumer name. */
export const NAME = "notification";

export type Input = Aggregate.Input<() => Notice.Command>;
export type Handled = CommandHandler.Handled<DocumentAggregate.Answer<never>>;

/** The mailbox of all notices, by order. */
export class Notices extends Context.Service<Notices, Mailbox.Mailbox<Input, Handled>>()("@example/notification/Notices") {}

/** What a message has to tell; null if nothing. */
export const fromMessage = (envelope: Message.Envelope): Notice.Command | null => {
  if (M.OrderCreated.is(envelope)) return { _tag: "Tell", notice: { status: "created", reason: null, at: envelope.body.at } };
  if (!M.OrderStatusChanged.is(envelope)) return null;
  const { to, reason, at } = envelope.body;
  return { _tag: "Tell", notice: { status: to, reason, at } };
};

const aggregate = DocumentAggregate.make({
  name: NAME,
  decider: Notice.decider,
  schema: Notice.Notices,
  rejection: Schema.Never,
  fromMessage,
  // It sets no timers; one of an older version tells nothing new.
  fromTimer: (timer): Notice.Command => ({ _tag: "Tell", notice: { status: "created", reason: null, at: timer.dueAt } }),
  react: () => ({ drafts: [], timers: [] }),
});

export const layerWith = (
  bounds: Partial<Concurrency.Concurrency["mailbox"]>,
): Layer.Layer<Notices, never, CommandHandler.Ports | DocumentStore> =>
  Layer.effect(Notices, Mailbox.make({ name: NAME, key: Aggregate.keyOf, run: CommandHandler.runBatch(aggregate), ...bounds }));

export const layer: Layer.Layer<Notices, never, CommandHandler.Ports | DocumentStore> = layerWith({});

/** What an order's customer was told. */
export const find = Effect.fn("NotificationService.find")(function* (orderId: OrderId) {
  const store = yield* DocumentStore;
  const found = (yield* store.find(NAME, [orderId])).get(orderId);
  return found === undefined ? Notice.initial : decode(found.state);
});

const decode = Schema.decodeUnknownSync(Schema.toCodecJson(Notice.Notices));

/** Hears of orders, and tells. */
const hearing = (concurrency: Concurrency.Concurrency): MessageConsumer.Options<Notices> => ({
  group: NAME,
  batchMax: concurrency.consumer.batchMax,
  catalogue: M.catalogue,
  types: [M.OrderCreated, M.OrderStatusChanged],
  handle: Effect.fnUntraced(function* (envelopes) {
    const mailbox = yield* Notices;
    const exits = yield* mailbox.submitAll(envelopes.map((envelope) => ({ _tag: "Message", envelope })));
    for (const [index, exit] of exits.entries()) {
      const envelope = envelopes[index];
      if (envelope === undefined || Exit.isFailure(exit) || exit.value._tag !== "Answered") continue;
      yield* Effect.logInfo(`order ${envelope.key} is ${fromMessage(envelope)?.notice.status ?? "unknown"}`);
    }
    return exits;
  }),
});

type Hears = Notices | DeadLetters | UnitOfWork | MessageBus | InboxQueue | Lock;

/** Takes messages from the broker: to handle them, or to store them for the workers. */
export const consumer = (concurrency: Concurrency.Concurrency, inbox: ServiceConfig.InboxMode): Layer.Layer<never, never, Hears> =>
  inbox === "store" ? InboxPuller.layer(hearing(concurrency)) : MessageConsumer.layer(hearing(concurrency));

export const relay = (concurrency: Concurrency.Concurrency) =>
  Layer.merge(OutboxRelay.layerWith(concurrency.relay), OutboxMonitor.layer("notification"));

/** Forgets what is old, and handles what is stored. */
export const worker = (concurrency: Concurrency.Concurrency, inbox: ServiceConfig.InboxMode) =>
  Layer.merge(Retention.layer, inbox === "store" ? InboxWorker.layer(hearing(concurrency)) : Layer.empty);

export type Role = "relay" | "consumer" | "worker";

const byRole = { relay, consumer, worker };

/** The background work of a process with these roles. */
export const roles = (
  names: ReadonlyArray<Role>,
  concurrency: Concurrency.Concurrency = Concurrency.defaults,
  inbox: ServiceConfig.InboxMode = "transaction",
) => Layer.mergeAll(Layer.empty, ...names.map((name) => byRole[name](concurrency, inbox)));
