/**
 * The order service: takes orders and coordinates their checkout. An order, its saga, the messages that follow and the
 * answer to the caller are one commit, shared with whoever else is waiting.
 */
import { CheckoutTopology, Concurrency } from "@example/contracts";
import { Context, Effect, Layer } from "effect";
import {
  Aggregate,
  Checkout,
  ChoreographyRunner,
  CommandHandler,
  type DeadLetters,
  type IdempotencyKey,
  IdempotentRequest,
  Mailbox,
  type MessageBus,
  MessageConsumer,
  Order,
  type OrderId,
  OrderStore,
  OutboxMonitor,
  OutboxRelay,
  Retention,
  Saga,
  SagaRunner,
  SagaStart,
  type SagaStore,
  type StoreError,
  TimerPump,
  type Timers,
  type UnitOfWork,
} from "@org/saga-core";

/** Consumer group of the coordinator. */
export const GROUP = "order-coordinator";

export type Settings = Checkout.Options;

export type Input = Aggregate.Input<SagaRunner.Command>;
export type Handled = CommandHandler.Handled<SagaRunner.Answer>;

/** What an order may be asked with: the command without its time. */
export type Place = Omit<Extract<Order.Command, { readonly _tag: "Place" }>, "_tag" | "now">;

export class Orders extends Context.Service<
  Orders,
  {
    /**
     * Durable when it answers. Under a key that was used before: the first answer again. While the first request is in
     * flight, here or in another process, this one waits for about a second; then it is `InFlight`, and did nothing.
     */
    readonly place: (order: Place, key: IdempotencyKey | null, traceparent?: string | null) => Effect.Effect<Handled, Mailbox.Failure>;
    /** With a key: as `place`. */
    readonly cancel: (id: OrderId, by: "user" | "operator", key?: IdempotencyKey | null) => Effect.Effect<Handled, Mailbox.Failure>;
    /** What a request was answered under its key, as `place` would repeat it; null if there was none. */
    readonly recorded: (key: IdempotencyKey) => Effect.Effect<Handled | null, StoreError>;
    /** As committed; null if there is none. */
    readonly find: (id: OrderId) => Effect.Effect<Order.Order | null, StoreError>;
    readonly mailbox: Mailbox.Mailbox<Input, Handled>;
    /** Owner of its timers. */
    readonly saga: string;
    /** What it listens to. */
    readonly listens: Pick<Saga.Orchestration<never, never>, "hears" | "catalogue">;
  }
>()("@example/order/Orders") {}

type Stores = OrderStore | SagaStore;

/**
 * Throws if the hold could expire before its commit: a wrong configuration is found at start. Does not start, either, if the
 * checkout was changed under a version that has run here, or while checkouts are live that were begun under the other topology.
 */
export const layer = (
  settings: Partial<Settings> = {},
  bounds: Partial<Concurrency.Concurrency["mailbox"]> = {},
  topology: CheckoutTopology.Topology = "orchestrated",
): Layer.Layer<Orders, CheckoutTopology.StartError, CommandHandler.Ports | Stores> =>
  Layer.effect(
    Orders,
    Effect.gen(function* () {
      const definition = Checkout.make(settings);
      const home = topology === "orchestrated" ? null : CheckoutTopology.choreographyOf(settings).home;
      yield* CheckoutTopology.started(home === null ? SagaStart.check(definition) : SagaStart.checkProjection(home));
      const store = yield* OrderStore;
      const stores = yield* Effect.context<CommandHandler.Ports>();
      const aggregate = SagaRunner.make(definition);
      const mailbox = yield* Mailbox.make<Input, Handled, CommandHandler.Ports | Stores>({
        name: definition.name,
        key: Aggregate.keyOf,
        run: home === null ? CommandHandler.runBatch(aggregate) : CommandHandler.runBatch(ChoreographyRunner.make(home)),
        ...bounds,
      });
      const submit = (input: Input) => IdempotentRequest.settled(mailbox.submit(input));
      return {
        mailbox,
        saga: definition.name,
        listens: home ?? Saga.orchestrate(definition),
        place: (order, idempotency, traceparent = null) =>
          submit(
            Aggregate.request<SagaRunner.Command>(order.id, (now) => ({ ...order, _tag: "Place", now }), { idempotency, traceparent }),
          ),
        cancel: (id, by, idempotency = null) =>
          submit(Aggregate.request<SagaRunner.Command>(id, (now) => ({ _tag: "Cancel", by, now }), { idempotency })),
        recorded: (key) => Effect.provideContext(IdempotentRequest.recorded(aggregate, key), stores),
        find: (id) => Effect.map(store.find([id]), (found) => found.get(id) ?? null),
      };
    }),
  );

/** Hears what the participants answer. */
export const consumer = (concurrency: Concurrency.Concurrency): Layer.Layer<never, never, Orders | DeadLetters | UnitOfWork | MessageBus> =>
  Layer.unwrap(
    Effect.map(Orders, ({ mailbox, listens: { hears, catalogue } }) =>
      MessageConsumer.layer({
        group: GROUP,
        catalogue,
        types: hears,
        batchMax: concurrency.consumer.batchMax,
        handle: (envelopes) => mailbox.submitAll(envelopes.map((envelope) => ({ _tag: "Message", envelope }))),
      }),
    ),
  );

/** Publishes what was decided, and tells what waits. */
export const relay = (concurrency: Concurrency.Concurrency) =>
  Layer.merge(OutboxRelay.layerWith(concurrency.relay), OutboxMonitor.layer("order"));

const timers = (atMost: number): Layer.Layer<never, never, Orders | Timers> =>
  Layer.unwrap(Effect.map(Orders, ({ mailbox, saga }) => TimerPump.layer(saga, TimerPump.into(mailbox), TimerPump.LEASE_MS, atMost)));

/** Fires what is due, and forgets what is old. */
export const worker = (concurrency: Concurrency.Concurrency) => Layer.merge(timers(concurrency.worker.timersMax), Retention.layer);

export type Role = "relay" | "consumer" | "worker";

const byRole = { relay, consumer, worker };

/** The background work of a process with these roles. */
export const roles = (names: ReadonlyArray<Role>, concurrency: Concurrency.Concurrency = Concurrency.defaults) =>
  Layer.mergeAll(Layer.empty, ...names.map((name) => byRole[name](concurrency)));
