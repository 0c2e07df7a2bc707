/**
 * The books of a `Load` after a fault, against what its callers were told. Read with plain SQL and from the bus's record.
 * Returns what is wrong, in words; an empty list is the proof.
 */
import { Order, OrderId, OrderStore, StockReservation } from "@org/saga-core";
import { Invariants } from "@org/saga-core/testing";
import { Effect } from "effect";
import * as PgClient from "../src/PgClient.ts";
import { type Load, ON_HAND, patiently, type Told } from "./Load.ts";
import * as Tally from "./Tally.ts";

interface Row {
  readonly id: string;
  readonly topic: string;
  readonly key: string;
  readonly type: string;
  readonly payload: { readonly id?: string; readonly serial?: number; readonly to?: string };
}

export const violations = Effect.fnUntraced(function* (load: Load) {
  const outbox = yield* rows<Row>(
    (tables) => `select id, topic, aggregateid as key, type, payload from ${tables}outbox where parked_at is null order by seq`,
  );
  const counts = yield* rows<{ readonly id: string; readonly state: number }>(
    (tables) => `select id, state from ${tables}documents where kind = '${Tally.KIND}'`,
  );
  const placed = yield* rows<{ readonly id: string }>((tables) => `select id from ${tables}orders`);
  const orders = yield* Effect.flatMap(OrderStore, (store) => patiently(store.find(placed.map(({ id }) => OrderId.make(id)))));
  const parked = yield* rows((tables) => `select 1 from ${tables}outbox where parked_at is not null`);
  return [
    ...load.poisoned.map((detail) => `an outage was blamed on an item: ${detail}`),
    ...parked.map(() => "a message was parked"),
    ...Invariants.publications(outbox, load.broker.published),
    ...tallies(load, counts, outbox),
    ...presence("order", load.orders, new Set(placed.map(({ id }) => id))),
    ...Invariants.histories([...orders.values()]),
    ...[...orders.values()].flatMap((order) => announcements(order, outbox)),
    ...[...orders.values()].flatMap((order) => canceled(load, order)),
    ...(yield* stock(load)),
  ];
});

const rows = <R extends object>(text: (tables: string) => string) =>
  Effect.flatMap(PgClient.PgClient, (client) =>
    Effect.map(patiently(client.query<R>("Audit.rows", text(client.tables))), (result): ReadonlyArray<R> => result.rows),
  );

/** What was accepted is there; what is there was accepted, or nobody knew. */
const presence = (what: string, told: Told, there: ReadonlySet<string>): Invariants.Violations => [
  ...[...told.accepted].filter((id) => !there.has(id)).map((id) => `${what} ${id} was accepted and is lost`),
  ...[...told.refused].filter((id) => there.has(id)).map((id) => `${what} ${id} was refused, and it happened`),
  ...[...there]
    .filter((id) => !told.accepted.has(id) && !told.refused.has(id) && !told.unknown.has(id))
    .map((id) => `${what} ${id} is there and nobody asked for it`),
];

/** G4, G5 from the state's side: per key the announcements are 1, 2, … up to the count, each of a command of its own. */
const tallies = (
  load: Load,
  counts: ReadonlyArray<{ readonly id: string; readonly state: number }>,
  outbox: ReadonlyArray<Row>,
): Invariants.Violations => {
  const announced = outbox.filter(({ type }) => type === Tally.Announced.type);
  const ids = announced.map(({ payload }) => payload.id ?? "");
  const found: Array<string> = [];
  if (new Set(ids).size !== ids.length) found.push("a command was counted twice");
  const serials = new Map<string, Array<number>>();
  for (const { key, payload } of announced) serials.set(key, [...(serials.get(key) ?? []), payload.serial ?? 0]);
  for (const { id, state } of counts) {
    const own = serials.get(id) ?? [];
    if (own.length !== state) found.push(`G4: ${id} counts ${state}, and ${own.length} were announced`);
    if (own.some((serial, index) => serial !== index + 1)) found.push(`G5: ${id} was announced out of commit order`);
  }
  if (serials.size !== counts.length) found.push("G4: a tally was announced that is not there");
  return [...found, ...presence("count", load.tallies, new Set(ids))];
};

/** One message for the order and one for each status it went to, in that order. */
const announcements = (order: Order.Order, outbox: ReadonlyArray<Row>): Invariants.Violations => {
  const own = outbox.filter(({ key, topic }) => key === order.id && topic === "order.events");
  const told = own.map(({ type, payload }) => (type === "order.created.v1" ? "created" : (payload.to ?? "")));
  const expected = order.history.map(({ status }) => status);
  return told.join() === expected.join() ? [] : [`G4: ${order.id} went ${expected.join()}, and told ${told.join()}`];
};

const canceled = (load: Load, order: Order.Order): Invariants.Violations => {
  const isCanceled = order.status === "canceled" || order.cancelRequested;
  if (load.cancels.accepted.has(order.id) && !isCanceled) return [`${order.id} lost its cancel`];
  return isCanceled && load.cancels.refused.has(order.id) ? [`${order.id} was canceled although that was refused`] : [];
};

/** G1, G2, and a hold for each accepted reservation and for no other. */
const stock = Effect.fnUntraced(function* (load: Load) {
  const balances = yield* Effect.flatMap(StockReservation, (engine) => patiently(engine.allBalances));
  const holds = yield* rows<{ readonly id: string }>((tables) => `select order_id as id from ${tables}stock_holds where status = 'held'`);
  const held = balances.reduce((sum, balance) => sum + balance.held, 0);
  return [
    ...Invariants.stockBalances(balances),
    ...balances.flatMap(({ sku, onHand }) => (onHand === ON_HAND ? [] : [`G2: ${sku} has ${onHand} of ${ON_HAND} on hand`])),
    ...(held === load.stock.accepted.size ? [] : [`G2: ${held} are held, ${load.stock.accepted.size} were promised`]),
    ...presence("hold", load.stock, new Set(holds.map(({ id }) => id))),
  ];
});
