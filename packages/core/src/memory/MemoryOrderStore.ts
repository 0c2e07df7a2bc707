/**
 * `OrderStore` on a `MemoryDatabase`. What a relational store writes only once (lines, entries of the history) is kept as it
 * was first written here, too.
 */
import { Effect, Layer } from "effect";
import type { Order } from "../domain/order/Order.ts";
import type { OrderId } from "../domain/order/OrderId.ts";
import * as OrderStatus from "../domain/order/OrderStatus.ts";
import * as StateMachine from "../domain/StateMachine.ts";
import { type OrderChange, OrderStore } from "../ports/OrderStore.ts";
import type { StoreError } from "../ports/StoreError.ts";
import type { Transaction } from "../ports/UnitOfWork.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";

export const layer: Layer.Layer<OrderStore, never, MemoryDatabase.CurrentDatabase> = Layer.effect(
  OrderStore,
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => ({
    load: (ids) =>
      FaultPoint.around(
        "OrderStore.load",
        Effect.map(MemoryDatabase.current(database, "OrderStore.load"), () => present(ids, (id) => database.orders.get(id))),
      ),
    save: (changes) => FaultPoint.around("OrderStore.save", save(database, changes)),
    find: (ids) =>
      FaultPoint.around(
        "OrderStore.find",
        Effect.sync(() => present(ids, (id) => database.orders.committed.get(id))),
      ),
  })),
);

const save = Effect.fnUntraced(function* (
  database: MemoryDatabase.Database,
  changes: ReadonlyArray<OrderChange>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const transaction = yield* MemoryDatabase.current(database, "OrderStore.save");
  for (const { before, after } of changes) {
    const stored = database.orders.get(after.id);
    if (stored?.version !== before?.version) {
      const lost = MemoryDatabase.failure("Contention", "OrderStore.save", "the order was changed by another transaction");
      return yield* MemoryDatabase.doom(transaction, lost);
    }
    if (!isLegal(stored, after)) {
      const illegal = MemoryDatabase.failure("Refused", "OrderStore.save", "a change of status that is not in the transition table");
      return yield* MemoryDatabase.doom(transaction, illegal);
    }
    database.orders.put(after.id, stored === undefined ? after : updated(stored, after));
  }
});

const updated = (stored: Order, after: Order): Order => ({
  ...after,
  lines: stored.lines,
  history: [...stored.history, ...after.history.slice(stored.history.length)],
});

/** Does every new entry of the history follow the one before it, along the transition table, up to the status? */
const isLegal = (stored: Order | undefined, after: Order): boolean => {
  let status = stored?.status;
  for (const entry of after.history.slice(stored?.history.length ?? 0)) {
    if (
      status === undefined ? entry.status !== OrderStatus.machine.initial : !StateMachine.can(OrderStatus.machine, status, entry.status)
    ) {
      return false;
    }
    status = entry.status;
  }
  return status === after.status;
};

const present = (ids: ReadonlyArray<OrderId>, get: (id: OrderId) => Order | undefined): ReadonlyMap<OrderId, Order> => {
  const found = new Map<OrderId, Order>();
  for (const id of [...ids].toSorted()) {
    const order = get(id);
    if (order !== undefined) found.set(id, order);
  }
  return found;
};
