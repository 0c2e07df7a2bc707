/**
 * A checkout in four services on one PostgreSQL, run either way, one write after the other: each service in a schema of its own,
 * with participants who write down what they were asked to do. The broker is outside of the process, and outlives it.
 */
import {
  type Aggregate,
  Aggregate as Inputs,
  Batch,
  Checkout,
  CheckoutMessages as M,
  ChoreographyRunner,
  ChoreographyService,
  CommandHandler,
  CustomerId,
  DocumentStore,
  Message,
  MessageBus,
  MessageConsumer,
  Money,
  OrderId,
  OrderStore,
  OutboxRelay,
  Quantity,
  Responder,
  Saga,
  SagaRunner,
  SagaStore,
  Sku,
  type StoreError,
} from "@org/saga-core";
import { type Context, Effect, Layer } from "effect";
import * as PgClient from "../src/PgClient.ts";
import type { PgDriver } from "../src/PgDriver.ts";
import * as PgStores from "../src/PgStores.ts";

export type Topology = "orchestrated" | "choreographed";

/** How it ends: the goods leave, or cannot, after they were paid. */
export type Story = "finished" | "refunded";

/** Nobody's time is up: the tests fire no timer, so whatever goes on does so by what is stored. */
const definition = Checkout.make({ holdTtlMillis: 3_600_000, stepTimeoutMillis: 60_000, paymentTimeoutMillis: 60_000 });
const choreography = Saga.choreograph(definition, Checkout.distribution);

type Participant = "payment" | "inventory" | "fulfillment";
export type ServiceName = "order" | Participant;

export const SERVICES: ReadonlyArray<ServiceName> = ["order", "payment", "inventory", "fulfillment"];

/** A log of one partition, and how far each group has read. */
export class Broker {
  readonly log: Array<Message.Encoded> = [];
  readonly read = new Map<string, number>();
}

/** What is about to be committed: who does it, and with which messages. The same name when it is done again. */
export interface Write {
  readonly by: string;
  readonly messages: ReadonlyArray<string>;
}

export interface World {
  readonly topology: Topology;
  readonly story: Story;
  readonly broker: Broker;
  readonly onWrite: (write: Write) => void;
}

type Ports = PgStores.PgStores;

interface Group extends Pick<MessageConsumer.Options<Ports>, "group" | "types" | "catalogue" | "handle"> {
  readonly service: ServiceName;
}

/** Where an order came to. */
export interface Record {
  /** Every status that it had, and why it ended. */
  readonly order: string;
  /** How the services' rows of the saga ended. */
  readonly sagas: ReadonlyArray<string>;
  /** What each participant was asked to do, once for each time. */
  readonly asked: Readonly<{ [service: string]: ReadonlyArray<string> }>;
}

/** A process with all four services in it. */
export class Shop {
  readonly #world: World;
  readonly #groups: ReadonlyArray<Group>;
  readonly #contexts: ReadonlyMap<ServiceName, Context.Context<Ports>>;

  private constructor(world: World, contexts: ReadonlyMap<ServiceName, Context.Context<Ports>>) {
    this.#world = world;
    this.#groups = groupsOf(world);
    this.#contexts = contexts;
  }

  static readonly open = Effect.fnUntraced(function* (world: World, driver: PgDriver) {
    const contexts = new Map<ServiceName, Context.Context<Ports>>();
    for (const service of SERVICES) {
      const client = Layer.effect(PgClient.PgClient, PgClient.make(driver, schemaOf(world.topology, service)));
      contexts.set(service, yield* Layer.build(Layer.provide(PgStores.layerClient, client)));
    }
    return new Shop(world, contexts);
  });

  /** Places the order, as a client does that asks again until it hears: the second time it is refused. */
  place(id: OrderId) {
    const request = Inputs.request<SagaRunner.Command>(id, (now) => ({
      _tag: "Place",
      id,
      customerId: CustomerId.make("customer-1"),
      lines: [{ sku: Sku.make("mug"), name: "A mug", quantity: Quantity.make(2), unitPrice: Money.of(1_250, "EUR") }],
      paymentMethod: "pm_success",
      cancelPolicy: "createdOnly",
      now,
    }));
    const run =
      this.#world.topology === "orchestrated"
        ? Batch.isolate("order", CommandHandler.runBatch(SagaRunner.make(definition)))
        : Batch.isolate("order", CommandHandler.runBatch(ChoreographyRunner.make(choreography.home)));
    this.#world.onWrite({ by: "client", messages: [id] });
    return this.#in(
      "order",
      Effect.flatMap(run([request]), ([exit]) => exit ?? Effect.die("no answer")),
    );
  }

  /** Publishes and delivers until nothing moves any more. */
  readonly settle = Effect.fnUntraced(function* (this: Shop) {
    for (let moved = true; moved;) {
      moved = false;
      for (const service of SERVICES) moved = (yield* this.#in(service, OutboxRelay.drainOnce)) > 0 || moved;
      for (const group of this.#groups) moved = (yield* this.#deliver(group)) || moved;
    }
  });

  readonly record = Effect.fnUntraced(function* (this: Shop, id: OrderId): Effect.fn.Return<Record, StoreError> {
    const sagas = new Set<string>();
    const asked: { [service: string]: ReadonlyArray<string> } = {};
    for (const service of SERVICES) {
      const saga = yield* this.#in(
        service,
        Effect.flatMap(SagaStore, (store) => store.find(definition.name, [id])),
      );
      const work = yield* this.#in(
        service,
        Effect.flatMap(DocumentStore, (store) => store.find(service, [id])),
      );
      for (const { status } of saga.values()) sagas.add(`${service}: ${status}`);
      for (const { state } of work.values()) asked[service] = commandsOf(state);
    }
    const order = yield* this.#in(
      "order",
      Effect.flatMap(OrderStore, (store) => Effect.map(store.find([id]), (found) => found.get(id))),
    );
    const statuses = order?.history.map(({ status }) => status) ?? [];
    const why = order?.reason ?? null;
    return { order: `${statuses.join(" → ")}${why === null ? "" : `: ${why}`}`, sagas: [...sagas], asked };
  });

  readonly #deliver = Effect.fnUntraced(function* (this: Shop, { service, ...group }: Group) {
    const { log, read } = this.#world.broker;
    const from = read.get(group.group) ?? 0;
    const batch = log.slice(from);
    if (batch.length === 0) return false;
    this.#world.onWrite({ by: group.group, messages: batch.map(({ id }) => id) });
    const position = (index: number) => ({ topic: "log", partition: 0, offset: from + index });
    const deliveries = batch.map((message, index) => ({ _tag: "Readable" as const, message, position: position(index) }));
    yield* this.#in(service, MessageConsumer.handleBatch(group)(deliveries));
    read.set(group.group, from + batch.length);
    return true;
  });

  #in<A, E>(service: ServiceName, effect: Effect.Effect<A, E, Ports | MessageBus>): Effect.Effect<A, E> {
    const context = this.#contexts.get(service);
    if (context === undefined) return Effect.die(`no service ${service}`);
    const { broker, onWrite } = this.#world;
    const publish = (messages: ReadonlyArray<Message.Encoded>): ReadonlyArray<"Published"> => {
      broker.log.push(...messages);
      onWrite({ by: `${service}'s relay`, messages: messages.map(({ id }) => id) });
      return messages.map(() => "Published");
    };
    const bus = MessageBus.of({
      publish: (messages) => Effect.sync(() => publish(messages)),
      consume: () => Effect.never,
      ensureTopics: () => Effect.void,
    });
    return effect.pipe(Effect.provideService(MessageBus, bus), Effect.provideContext(context));
  }
}

export const schemaOf = (topology: Topology, service: ServiceName): string => `${topology}_${service}`;

const groupsOf = ({ topology, story }: World): ReadonlyArray<Group> => {
  const participants: ReadonlyArray<Participant> = ["payment", "inventory", "fulfillment"];
  const works = participants.map((service): Group => {
    const types = [...M.catalogue.types.values()].filter(({ topic }) => topic === `${service}.commands`);
    return { service, ...groupOf(service, workOf(service, story), { hears: types, catalogue: M.catalogue }) };
  });
  if (topology === "orchestrated")
    return [{ service: "order", ...groupOf("coordinator", SagaRunner.make(definition), Saga.orchestrate(definition)) }, ...works];
  return [
    { service: "order", ...groupOf("home", ChoreographyRunner.make(choreography.home), choreography.home) },
    ...participants.map((service): Group => {
      const projection = choreography.of(service);
      return { service, ...groupOf(`${service}'s reactions`, ChoreographyService.aggregate(projection), projection) };
    }),
    ...works,
  ];
};

const groupOf = <S, C, A, R extends Ports>(
  group: string,
  aggregate: Aggregate.Aggregate<S, C, A, R>,
  { hears, catalogue }: Pick<Saga.Orchestration<never, never>, "hears" | "catalogue">,
): Omit<Group, "service"> => {
  const run = Batch.isolate(group, CommandHandler.runBatch(aggregate));
  const handle: Group["handle"] = (envelopes) => run(envelopes.map((envelope) => ({ _tag: "Message", envelope })));
  return { group, types: hears, catalogue, handle };
};

interface Work {
  readonly revision: number;
  /** Types of the commands that came through the inbox, in their order. */
  readonly asked: ReadonlyArray<string>;
}

/** Does what it is told, and writes it down and answers in one commit. */
const workOf = (service: Participant, story: Story): Aggregate.Aggregate<Work, never, null, DocumentStore> => ({
  name: service,
  initial: { revision: 0, asked: [] },
  load: Effect.fnUntraced(function* (keys) {
    const found = yield* (yield* DocumentStore).load(service, keys);
    return new Map([...found].map(([key, { revision, state }]) => [key, { revision, asked: commandsOf(state) }]));
  }),
  save: Effect.fnUntraced(function* (changes) {
    const documents = changes.map(({ key, after }) => ({ kind: service, id: key, revision: after.revision, state: after.asked }));
    yield* (yield* DocumentStore).save(documents);
  }),
  decide: ({ revision, asked: before }, input) => {
    const drafts = input._tag === "Message" ? answersTo(input.envelope, story) : [];
    const type = input._tag === "Message" ? input.envelope.type : "nothing";
    return { state: { revision: revision + 1, asked: [...before, type] }, drafts, timers: [], answer: null };
  },
  encodeAnswer: () => null,
  decodeAnswer: () => null,
});

const commandsOf = (state: unknown): ReadonlyArray<string> => (Array.isArray(state) ? state.map(String) : []);

const answersTo = (to: Message.Envelope, story: Story): ReadonlyArray<Message.Draft> => {
  const orderId = OrderId.make(to.key);
  if (M.CheckBalance.is(to)) return [Responder.reply(M.BalanceSufficient, { orderId }, to)];
  if (M.ReserveStock.is(to)) return [Responder.reply(M.StockReserved, { orderId, until: 1 }, to)];
  if (M.AuthorizePayment.is(to)) return [Responder.reply(M.PaymentAuthorized, { orderId }, to)];
  if (M.CommitStock.is(to)) return [Responder.reply(M.StockCommitted, { orderId }, to)];
  if (M.CapturePayment.is(to)) return [Responder.reply(M.PaymentCaptured, { orderId }, to)];
  if (M.ShipStock.is(to)) return [Responder.reply(M.StockShipped, { orderId }, to)];
  if (M.ReleaseStock.is(to)) return [Responder.reply(M.StockReleased, { orderId, reason: "asked" }, to)];
  if (M.VoidPayment.is(to)) return [Responder.reply(M.PaymentVoided, { orderId }, to)];
  if (M.RefundPayment.is(to)) return [Responder.reply(M.PaymentRefunded, { orderId }, to)];
  if (M.FulfillOrder.is(to) && story === "finished") return [Responder.reply(M.FulfillmentSucceeded, { orderId }, to)];
  return [Responder.reply(M.FulfillmentFailed, { orderId, detail: "it broke" }, to)];
};
