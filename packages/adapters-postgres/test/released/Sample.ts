/** What a release's database holds when it is recorded: something of everything, in every state that an upgrade has to keep. */
import {
  CustomerId,
  DeadLetters,
  DocumentStore,
  IdempotencyKeys,
  Inbox,
  Lock,
  Message,
  Money,
  Order,
  OrderId,
  OrderStore,
  Outbox,
  OUTBOX_SHARDS,
  Quantity,
  SagaStore,
  Sku,
  StockReservation,
  Timers,
  UnitOfWork,
} from "@org/saga-core";
import { Effect, Result } from "effect";
import { PgClient } from "../../src/PgClient.ts";

export const SCHEMA = "saga";

/** 2023-11-14 and 2100-01-01: before and after every test. */
const PAST = 1_700_000_000_000;
const FUTURE = 4_102_444_800_000;

export const ORDERS = ["o-placed", "o-finished", "o-refunded"].map((id) => OrderId.make(id));
export const SAGA = "checkout";
export const CONSUMER = "inventory";
export const TIMER_OWNER = "checkout";
export const ADMITTED = ["m-1", "m-2"];
export const LOCK = "sweeper";
export const TEA = Sku.make("tea-green");
export const CUP = Sku.make("cup");
export const LIVE = OrderId.make("o-placed");
export const KEPT = OrderId.make("o-finished");
export const LAPSED = OrderId.make("o-lapsed");
export const GIVEN_BACK = OrderId.make("o-given-back");
export const TEA_LINES = [{ sku: TEA, quantity: Quantity.make(2) }];
export const DELIVERY: { readonly id: string; readonly delta: number } = { id: "delivery-1", delta: 10 };
export const REQUEST = { scope: "customer-1", key: "order-once", fingerprint: "abc" };
export const OPEN_REQUEST = { scope: "customer-1", key: "never-answered", fingerprint: "def" };

const lines: ReadonlyArray<Order.OrderLine> = [
  { sku: TEA, name: "Grüner Tee, 100 g", quantity: Quantity.make(2), unitPrice: Money.of(450, "EUR") },
  { sku: CUP, name: 'Cup; it\'s "white"', quantity: Quantity.make(1), unitPrice: Money.of(1_200, "EUR") },
];

const steps: ReadonlyArray<Order.Command> = [
  { _tag: "StartCheckout", now: PAST + 10 },
  { _tag: "CompleteCheckout", now: PAST + 20 },
  { _tag: "ConfirmPayment", now: PAST + 40 },
];

const orderAfter = (id: OrderId, commands: ReadonlyArray<Order.Command>): Order.Order => {
  const placing: Order.Command = {
    _tag: "Place",
    id,
    customerId: CustomerId.make("customer-1"),
    lines,
    paymentMethod: "pm_1",
    cancelPolicy: "compensating",
    now: PAST,
  };
  let state: Order.State = null;
  for (const command of [placing, ...commands]) {
    const decided = Order.decide(state, command);
    if (Result.isFailure(decided)) throw new Error(`${command._tag} was rejected with ${decided.failure._tag}`);
    for (const event of decided.success) state = Order.evolve(state, event);
  }
  if (state === null) throw new Error("there is no order");
  return state;
};

const TRACE = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "vendor=1" };

/** The `number`th message of all; its id says so. */
const message = (number: number, key: string, over: Partial<Message.Encoded> = {}): Message.Encoded => ({
  id: `018bcfe5-6800-7000-8000-${String(number).padStart(12, "0")}`,
  type: "order.created.v1",
  topic: "order.created",
  key,
  occurredAt: PAST + number,
  correlationId: key,
  causationId: null,
  stepKey: null,
  saga: null,
  traceparent: null,
  tracestate: null,
  payload: JSON.stringify({ number, text: 'Grüße; it\'s "quoted"' }),
  ...over,
});

/** Published, then refused by the broker, then waiting: several of each key that waits. */
const sent = [message(1, "o-placed"), message(2, "o-finished")];
const parked = message(3, "o-too-large");
const pending = [
  message(4, "o-placed"),
  message(5, "o-finished", { causationId: "m-1", stepKey: "o-finished:pay:1", saga: "checkout@1", ...TRACE }),
  message(6, "o-placed"),
  message(7, "o-placed"),
  message(8, "o-finished"),
];

/** Writes it all through the stores of the version that is recorded. */
export const write = Effect.gen(function* () {
  const unit = yield* UnitOfWork;
  yield* unit.commit(state);
  yield* unit.commit(Effect.flatMap(Outbox, (outbox) => outbox.append([...sent, parked])));
  yield* publishAll;
  yield* unit.commit(Effect.flatMap(Outbox, (outbox) => outbox.append(pending)));
  yield* Effect.flatMap(Lock, (lock) => lock.acquire(LOCK, "process-1", FUTURE - PAST));
  yield* stock;
});

const state = Effect.gen(function* () {
  const [orders, sagas, documents] = [yield* OrderStore, yield* SagaStore, yield* DocumentStore];
  const after = [[], [...steps, FINISH], [...steps, FAIL, REFUND]].map((commands, index) => orderAfter(ORDERS[index] ?? LIVE, commands));
  yield* orders.save(after.map((order) => ({ before: null, after: order })));
  const statuses = ["running", "completed", "compensated"];
  yield* sagas.save(
    statuses.map((status, index) => ({ saga: SAGA, version: 1, id: ORDERS[index] ?? LIVE, status, revision: 1, state: { at: index } })),
  );
  yield* documents.save([{ kind: "payment", id: "o-finished", revision: 1, state: { captured: 2_100, note: null } }]);
  yield* (yield* Inbox).admit(CONSUMER, ADMITTED);
  yield* (yield* Timers).schedule([
    { owner: TIMER_OWNER, key: "o-placed", name: "due", token: "t-1", dueAt: PAST },
    { owner: TIMER_OWNER, key: "o-placed", name: "waiting", token: "t-2", dueAt: FUTURE },
  ]);
  yield* (yield* DeadLetters).append([
    {
      consumer: CONSUMER,
      message: message(9, "o-broken", { payload: '{"broken":' }),
      position: "inventory.commands/3@1207",
      problem: "schemaMismatch",
      detail: "no JSON",
      attempts: 5,
      at: PAST,
    },
  ]);
  const keys = yield* IdempotencyKeys;
  yield* keys.claim([REQUEST, OPEN_REQUEST]);
  yield* keys.record([{ key: REQUEST, answer: { status: 201, body: { id: "o-placed" } } }]);
});

const FINISH: Order.Command = { _tag: "Finish", now: PAST + 50 };
const FAIL: Order.Command = { _tag: "Close", reason: "fulfillmentFailed", now: PAST + 50 };
const REFUND: Order.Command = { _tag: "Refund", now: PAST + 60 };

const PUBLISH_MAX = 100;

const publishAll = Effect.gen(function* () {
  const outbox = yield* Outbox;
  for (let shard = 0; shard < OUTBOX_SHARDS; shard += 1) {
    yield* outbox.drain(shard, PUBLISH_MAX, (batch) => Effect.succeed(batch.map(({ id }) => (id === parked.id ? "Refused" : "Published"))));
  }
});

const HOLD_MS = 60_000;

const stock = Effect.gen(function* () {
  const engine = yield* StockReservation;
  const client = yield* PgClient;
  const cups = [{ sku: CUP, quantity: Quantity.make(1) }];
  const answers = yield* engine.execute([
    { _tag: "Adjust", sku: TEA, ...DELIVERY },
    { _tag: "Adjust", sku: CUP, id: "delivery-2", delta: 5 },
    { _tag: "Reserve", orderId: LIVE, lines: TEA_LINES, ttlMillis: HOLD_MS },
    { _tag: "Reserve", orderId: KEPT, lines: TEA_LINES, ttlMillis: HOLD_MS },
    { _tag: "Commit", orderId: KEPT },
    { _tag: "Reserve", orderId: LAPSED, lines: cups, ttlMillis: HOLD_MS },
    { _tag: "Release", orderId: GIVEN_BACK },
  ]);
  const refused = answers.find(Result.isFailure);
  if (refused !== undefined) return yield* Effect.die(new Error(`stock refused: ${refused.failure._tag}`));
  // A hold lasts days at most: one is made to last, and one to have ended, whenever the record is read.
  const until = (id: OrderId, at: number) =>
    client.query("Sample.until", `update ${client.tables}stock_holds set until = to_timestamp($2::float8 / 1000) where order_id = $1`, [
      id,
      at,
    ]);
  yield* until(LIVE, FUTURE);
  yield* until(LAPSED, PAST);
});
