/**
 * The guarantees as functions over what is on record: no store, no clock. The simulator, the end-to-end tests and
 * operators check the same ones. Each returns what is violated, in words; an empty list is the proof.
 */
import * as Order from "../domain/order/Order.ts";
import { machine } from "../domain/order/OrderStatus.ts";
import * as StateMachine from "../domain/StateMachine.ts";
import type { StockBalance } from "../domain/stock/StockCommand.ts";

export type Violations = ReadonlyArray<string>;

/** G1: nothing is promised that is not there. G2: nothing appears or disappears. */
export const stockBalances = (balances: ReadonlyArray<StockBalance>): Violations =>
  balances.flatMap(({ sku, onHand, held, committed, available, shortage }) => [
    ...when(held < 0 || committed < 0 || available < 0, `G2: ${sku} has a negative balance`),
    ...when(held + committed - shortage > onHand, `G1: ${sku} promises ${held + committed} of ${onHand}`),
    ...when(
      onHand !== available + held + committed - shortage,
      `G2: ${sku} has ${onHand} on hand, but ${available} + ${held} + ${committed} − ${shortage}`,
    ),
  ]);

/** G2 at rest: what left the shelf is what finished orders bought; nothing is promised to anyone any more. */
export const stockAtRest = (
  balances: ReadonlyArray<StockBalance>,
  received: ReadonlyMap<string, number>,
  orders: ReadonlyArray<Order.Order>,
): Violations => {
  const sold = new Map<string, number>();
  for (const order of orders) {
    if (order.status !== "finished") continue;
    for (const { sku, quantity } of order.lines) sold.set(sku, (sold.get(sku) ?? 0) + quantity);
  }
  return balances.flatMap(({ sku, onHand, held, committed }) => {
    const expected = (received.get(sku) ?? 0) - (sold.get(sku) ?? 0);
    return [
      ...when(held !== 0 || committed !== 0, `G2: ${sku} still promises ${held} held and ${committed} committed at rest`),
      ...when(onHand !== expected, `G2: ${sku} has ${onHand} on hand, ${expected} are accounted for`),
    ];
  });
};

/** What the payment provider has on record for an order, in minor units. */
export interface MoneyRecord {
  readonly captured: number;
  readonly refunded: number;
}

/** G3 at rest: captured − refunded is the price of the goods delivered. */
export const moneyAtRest = (orders: ReadonlyArray<Order.Order>, ledger: ReadonlyMap<string, MoneyRecord>): Violations =>
  orders.flatMap((order) => {
    const { captured, refunded } = ledger.get(order.id) ?? { captured: 0, refunded: 0 };
    const due = order.status === "finished" ? order.total.amount : 0;
    return [
      ...when(captured > order.total.amount, `G3: ${order.id} was charged ${captured} for ${order.total.amount}`),
      ...when(captured - refunded !== due, `G3: ${order.id} is ${order.status}, but ${captured} − ${refunded} was paid instead of ${due}`),
    ];
  });

/** G7: every history is a path through the table, and ends where the order is. */
export const histories = (orders: ReadonlyArray<Order.Order>): Violations =>
  orders.flatMap((order) => {
    const found: Array<string> = [];
    for (const [index, { status }] of order.history.entries()) {
      const previous = order.history[index - 1];
      if (previous === undefined) found.push(...when(status !== machine.initial, `G7: ${order.id} began as ${status}`));
      else found.push(...when(!StateMachine.can(machine, previous.status, status), `G7: ${order.id} went ${previous.status} → ${status}`));
    }
    return [
      ...found,
      ...when(order.history.at(-1)?.status !== order.status, `G7: ${order.id} is ${order.status}, its history says otherwise`),
    ];
  });

/** G9: everything has come to its end. */
export const atRest = (orders: ReadonlyArray<Order.Order>): Violations =>
  orders.flatMap((order) => when(!Order.isTerminal(order), `G9: ${order.id} rests in ${order.status}`));

/** A published message, as far as order matters. */
export interface Published {
  readonly id: string;
  readonly topic: string;
  readonly key: string;
}

/** G4: what was committed was published, and nothing else. G5: per topic and key, first occurrences in commit order. */
export const publications = (committed: ReadonlyArray<Published>, published: ReadonlyArray<Published>): Violations => {
  const known = new Set(committed.map(({ id }) => id));
  const seen = new Set<string>();
  const firsts = new Map<string, Array<string>>();
  const found: Array<string> = [];
  for (const message of published) {
    if (!known.has(message.id)) found.push(`G4: ${message.id} on ${message.topic} was never committed`);
    if (seen.has(message.id)) continue;
    seen.add(message.id);
    const lane = `${message.topic} ${message.key}`;
    firsts.set(lane, [...(firsts.get(lane) ?? []), message.id]);
  }
  const expected = new Map<string, Array<string>>();
  for (const message of committed) {
    if (!seen.has(message.id)) found.push(`G4: ${message.id} on ${message.topic} was never published`);
    const lane = `${message.topic} ${message.key}`;
    expected.set(lane, [...(expected.get(lane) ?? []), message.id]);
  }
  for (const [lane, ids] of expected) {
    if (ids.join() !== (firsts.get(lane) ?? []).join()) found.push(`G5: ${lane} was published out of commit order`);
  }
  return found;
};

const when = (violated: boolean, text: string): ReadonlyArray<string> => (violated ? [text] : []);
