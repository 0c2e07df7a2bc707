/**
 * What the services of a version find in a recorded database, as one JSON value. It acts as they would: publishes what is
 * pending, claims what is due, asks again for what was done. So it is done once to a database.
 */
import {
  DeadLetters,
  DocumentStore,
  IdempotencyKeys,
  Inbox,
  Lock,
  type Message,
  OrderStore,
  Outbox,
  OUTBOX_SHARDS,
  SagaStore,
  StockReservation,
  Timers,
  UnitOfWork,
} from "@org/saga-core";
import { Effect } from "effect";
import * as Sample from "./Sample.ts";

const MAX = 100;
const LEASE_MS = 60_000;

export const observe = Effect.gen(function* () {
  const unit = yield* UnitOfWork;
  const orders = yield* Effect.flatMap(OrderStore, (store) => store.find(Sample.ORDERS));
  const sagas = yield* Effect.flatMap(SagaStore, (store) => store.find(Sample.SAGA, Sample.ORDERS));
  const documents = yield* Effect.flatMap(DocumentStore, (store) => store.find("payment", ["o-finished"]));
  const inbox = yield* unit.commit(Effect.flatMap(Inbox, (store) => store.admit(Sample.CONSUMER, [...Sample.ADMITTED, "m-new"])));
  const keys = yield* unit.commit(
    Effect.flatMap(IdempotencyKeys, (store) => store.claim([Sample.REQUEST, Sample.OPEN_REQUEST, { ...Sample.REQUEST, key: "new" }])),
  );
  const letters = yield* Effect.flatMap(DeadLetters, (store) => store.list(Sample.CONSUMER, MAX));
  return JSON.parse(
    JSON.stringify({
      orders: Object.fromEntries(orders),
      sagas: Object.fromEntries(sagas),
      documents: Object.fromEntries(documents),
      inbox,
      keys,
      letters,
      timers: yield* timers,
      isLocked: (yield* Effect.flatMap(Lock, (lock) => lock.acquire(Sample.LOCK, "process-2", LEASE_MS))) === null,
      outbox: yield* outbox,
      stock: yield* stock,
    }),
  ) as unknown;
});

const timers = Effect.gen(function* () {
  const store = yield* Timers;
  const planned = yield* store.list(Sample.TIMER_OWNER, "o-placed");
  const due = yield* store.claimDue(Sample.TIMER_OWNER, MAX, LEASE_MS);
  return { planned, due };
});

/** The backlog, then what each key's consumers get, in their order. */
const outbox = Effect.gen(function* () {
  const store = yield* Outbox;
  const backlog = yield* backlogOf(store);
  const published: Array<Message.Encoded> = [];
  for (let shard = 0; shard < OUTBOX_SHARDS; shard += 1) {
    yield* store.drain(shard, MAX, (batch) =>
      Effect.sync(() => {
        published.push(...batch);
        return batch.map(() => "Published" as const);
      }),
    );
  }
  // `jsonb` keeps what a payload means, not its blanks.
  const meanings = published.map((message) => ({ ...message, payload: JSON.parse(message.payload) as unknown }));
  return { backlog, published: Object.groupBy(meanings, (message) => message.key), left: yield* backlogOf(store) };
});

/** What every version tells of it. */
const backlogOf = (store: Outbox["Service"]) =>
  Effect.map(store.backlog, ({ oldestAt, parked, pending }) => ({ pending, oldestAt, parked }));

const stock = Effect.gen(function* () {
  const engine = yield* StockReservation;
  const balances = Object.fromEntries(yield* engine.balances([Sample.TEA, Sample.CUP]));
  const expired = yield* engine.expired(MAX);
  const answers = yield* engine.execute([
    { _tag: "Adjust", sku: Sample.TEA, ...Sample.DELIVERY },
    { _tag: "Reserve", orderId: Sample.LIVE, lines: Sample.TEA_LINES, ttlMillis: LEASE_MS },
    { _tag: "Commit", orderId: Sample.LIVE },
    { _tag: "Commit", orderId: Sample.KEPT },
    { _tag: "Expire", orderId: Sample.LAPSED },
    { _tag: "Reserve", orderId: Sample.GIVEN_BACK, lines: Sample.TEA_LINES, ttlMillis: LEASE_MS },
  ]);
  return { balances, expired, answers, after: Object.fromEntries(yield* engine.balances([Sample.TEA, Sample.CUP])) };
});
