/** What every `OrderStore` has to prove: G7 (monotonic status) is guarded here once more. */
import { Effect, Exit, Fiber, Result } from "effect";
import * as Order from "../../domain/order/Order.ts";
import { CustomerId, OrderId } from "../../domain/order/OrderId.ts";
import * as Money from "../../domain/Money.ts";
import { Quantity, Sku } from "../../domain/stock/Sku.ts";
import { type OrderChange, OrderStore } from "../../ports/OrderStore.ts";
import { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as Samples from "./Samples.ts";

export type Ports = UnitOfWork | OrderStore;

const lines: ReadonlyArray<Order.OrderLine> = [
  { sku: Sku.make("tea-green"), name: "Grüner Tee, 100 g", quantity: Quantity.make(2), unitPrice: Money.of(450, "EUR") },
  { sku: Sku.make("cup"), name: "Cup", quantity: Quantity.make(1), unitPrice: Money.of(1_200, "EUR") },
];

const orderId = Effect.map(Contract.unique("order"), (id) => OrderId.make(id));

/** The order after `commands`. A rejection is a mistake in the case. */
const after = (order: Order.State, ...commands: ReadonlyArray<Order.Command>): Order.Order => {
  let state = order;
  for (const command of commands) {
    const decided = Order.decide(state, command);
    if (Result.isFailure(decided)) throw new Error(`${command._tag} was rejected with ${decided.failure._tag}`);
    for (const event of decided.success) state = Order.evolve(state, event);
  }
  if (state === null) throw new Error("there is no order yet");
  return state;
};

const placed = (id: OrderId): Order.Order =>
  after(null, {
    _tag: "Place",
    id,
    customerId: CustomerId.make("customer-1"),
    lines,
    paymentMethod: "pm_1",
    cancelPolicy: "compensating",
    now: Samples.PAST,
  });

const START: Order.Command = { _tag: "StartCheckout", now: Samples.PAST + 10 };
const COMPLETE: Order.Command = { _tag: "CompleteCheckout", now: Samples.PAST + 20 };
const CANCEL: Order.Command = { _tag: "Cancel", by: "user", now: Samples.PAST + 30 };
const CONFIRM: Order.Command = { _tag: "ConfirmPayment", now: Samples.PAST + 40 };
const FAIL: Order.Command = { _tag: "Close", reason: "fulfillmentFailed", now: Samples.PAST + 50 };
const REFUND: Order.Command = { _tag: "Refund", now: Samples.PAST + 60 };

const save = Effect.fnUntraced(function* (...changes: ReadonlyArray<OrderChange>) {
  yield* (yield* UnitOfWork).commit((yield* OrderStore).save(changes));
});

/** A stored order in its first status. */
const stored = Effect.fnUntraced(function* () {
  const order = placed(yield* orderId);
  yield* save({ before: null, after: order });
  return order;
});

const found = Effect.fnUntraced(function* (id: OrderId) {
  return (yield* (yield* OrderStore).find([id])).get(id);
});

const keeping: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a placed order is found again as it was, with its lines in their order",
    Effect.gen(function* () {
      const order = yield* stored();
      yield* Contract.equal(yield* found(order.id), order, "found");
      const loaded = yield* (yield* UnitOfWork).commit((yield* OrderStore).load([order.id]));
      yield* Contract.equal(loaded.get(order.id), order, "loaded");
    }),
  ),
  Contract.check(
    "an id without an order is absent, and an id asked for twice is one order",
    Effect.gen(function* () {
      const order = yield* stored();
      const absent = yield* orderId;
      const store = yield* OrderStore;
      const asked = [absent, order.id, order.id];
      yield* Contract.equal([...(yield* store.find(asked)).keys()], [order.id], "found");
      yield* Contract.equal([...(yield* (yield* UnitOfWork).commit(store.load(asked))).keys()], [order.id], "loaded");
      yield* Contract.equal((yield* store.find([])).size, 0, "found of none");
      yield* Contract.equal((yield* (yield* UnitOfWork).commit(store.load([]))).size, 0, "loaded of none");
      yield* save();
    }),
  ),
  Contract.check(
    "every change is read back: status, reason, flags, version and the whole history",
    Effect.gen(function* () {
      let order = yield* stored();
      for (const command of [START, COMPLETE, CANCEL, CONFIRM, FAIL, REFUND]) {
        const next = after(order, command);
        yield* save({ before: order, after: next });
        yield* Contract.equal(yield* found(order.id), next, `after ${command._tag}`);
        order = next;
      }
    }),
  ),
  Contract.check(
    "several changes at once are saved in one step, also for a new order",
    Effect.gen(function* () {
      const order = after(placed(yield* orderId), START, COMPLETE);
      yield* save({ before: null, after: order });
      yield* Contract.equal(yield* found(order.id), order, "a new order that moved already");
      const next = after(order, CONFIRM, FAIL, REFUND);
      yield* save({ before: order, after: next });
      yield* Contract.equal(yield* found(order.id), next, "after three changes in one save");
    }),
  ),
  Contract.check(
    "one save takes new and known orders",
    Effect.gen(function* () {
      const known = yield* stored();
      const fresh = placed(yield* orderId);
      const moved = after(known, START);
      yield* save({ before: null, after: fresh }, { before: known, after: moved });
      const orders = yield* (yield* OrderStore).find([known.id, fresh.id]);
      yield* Contract.equal([orders.get(known.id), orders.get(fresh.id)], [moved, fresh], "found");
    }),
  ),
  Contract.check(
    "lines are written once, and entries of the history are never rewritten",
    Effect.gen(function* () {
      const order = yield* stored();
      const moved = after(order, START);
      const [first, ...rest] = moved.history;
      if (first === undefined) return yield* Contract.fail("an order has a history");
      const forged: Order.Order = { ...moved, lines: moved.lines.slice(1), history: [{ ...first, at: first.at + 5 }, ...rest] };
      yield* save({ before: order, after: forged });
      yield* Contract.equal(yield* found(order.id), moved, "found");
    }),
  ),
  Contract.check(
    "a transaction loads what it saved, and others find it only when it is committed",
    Effect.gen(function* () {
      const order = placed(yield* orderId);
      const store = yield* OrderStore;
      const body = Effect.andThen(store.save([{ before: null, after: order }]), store.load([order.id]));
      const seen: Array<Order.Order | undefined> = [];
      const peek = Effect.tap(body, (orders) => Effect.sync(() => seen.push(orders.get(order.id))));
      yield* Effect.exit((yield* UnitOfWork).commit(Effect.andThen(peek, Effect.fail("no"))));
      yield* Contract.equal(seen, [order], "loaded inside");
      yield* Contract.equal(yield* found(order.id), undefined, "found after the rollback");
    }),
  ),
];

const racing: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "an insert of what exists, an update of what does not, and a stale version are Contention",
    Effect.gen(function* () {
      const absent = placed(yield* orderId);
      yield* Contract.failsWith(save({ before: absent, after: after(absent, START) }), ["Contention"], "an update of nothing");
      const order = yield* stored();
      yield* Contract.failsWith(save({ before: null, after: order }), ["Contention"], "a second insert");
      const moved = after(order, START);
      yield* save({ before: order, after: moved });
      yield* Contract.failsWith(save({ before: order, after: after(order, CANCEL) }), ["Contention"], "a stale version");
      yield* Contract.equal(yield* found(order.id), moved, "found");
    }),
  ),
  Contract.check(
    "one lost race in a save leaves nothing of the others",
    Effect.gen(function* () {
      const order = yield* stored();
      const fresh = placed(yield* orderId);
      yield* Contract.failsWith(save({ before: null, after: fresh }, { before: null, after: order }), ["Contention"], "a save");
      yield* Contract.equal(yield* found(fresh.id), undefined, "the order beside the lost race");
    }),
  ),
  Contract.check(
    "a change of status that is not in the transition table is refused, and nothing is stored",
    Effect.gen(function* () {
      const order = yield* stored();
      const at = Samples.PAST + 10;
      const jump: Order.Order = {
        ...order,
        status: "finished",
        history: [...order.history, { status: "finished", at, reason: null }],
        version: order.version + 1,
      };
      yield* Contract.failsWith(save({ before: order, after: jump }), ["Contention", "Refused"], "created → finished");
      const canceled = after(order, CANCEL);
      yield* save({ before: order, after: canceled });
      const revived: Order.Order = {
        ...canceled,
        status: "pendingPayment",
        history: [...canceled.history, { status: "pendingPayment", at, reason: null }],
        version: canceled.version + 1,
      };
      yield* Contract.failsWith(save({ before: canceled, after: revived }), ["Contention", "Refused"], "canceled → pendingPayment");
      yield* Contract.equal(yield* found(order.id), canceled, "found");
    }),
  ),
  Contract.check(
    "of two concurrent inserts of one id, one wins and the other is Contention",
    Effect.gen(function* () {
      const order = placed(yield* orderId);
      const store = yield* OrderStore;
      const unit = yield* UnitOfWork;
      const [written, finish] = [yield* Contract.gate, yield* Contract.gate];
      const insert = store.save([{ before: null, after: order }]);
      const first = yield* Effect.forkChild(unit.commit(Effect.andThen(insert, Effect.andThen(written.open, finish.passed))));
      yield* written.passed;
      const second = yield* Effect.forkChild(Effect.exit(unit.commit(insert)));
      yield* Contract.settle;
      yield* Contract.isWaiting(second, "the second insert");
      yield* finish.open;
      yield* Fiber.join(first);
      yield* Contract.failsWith(Effect.flatten(Fiber.join(second)), ["Contention"], "the second insert");
    }),
  ),
  Contract.check(
    "what is loaded stays locked until the transaction ends",
    Effect.gen(function* () {
      const order = yield* stored();
      const store = yield* OrderStore;
      const unit = yield* UnitOfWork;
      const moved = after(order, START);
      const [loaded, finish] = [yield* Contract.gate, yield* Contract.gate];
      const change = Effect.andThen(finish.passed, store.save([{ before: order, after: moved }]));
      const slow = Effect.andThen(store.load([order.id]), Effect.andThen(loaded.open, change));
      const first = yield* Effect.forkChild(unit.commit(slow));
      yield* loaded.passed;
      const second = yield* Effect.forkChild(unit.commit(store.load([order.id])));
      yield* Contract.settle;
      yield* Contract.isWaiting(second, "the second load");
      yield* finish.open;
      yield* Fiber.join(first);
      yield* Contract.equal((yield* Fiber.join(second)).get(order.id), moved, "loaded after the lock");
    }),
  ),
  Contract.check(
    "of a start of checkout and a cancel at once, exactly one moves the order",
    Effect.gen(function* () {
      const orders = yield* Effect.replicateEffect(stored(), 5);
      const store = yield* OrderStore;
      const unit = yield* UnitOfWork;
      // Both decided on the order as they found it, without a lock.
      const race = (order: Order.Order) =>
        Effect.forEach(
          [START, CANCEL],
          (command) => Effect.exit(unit.commit(store.save([{ before: order, after: after(order, command) }]))),
          {
            concurrency: "unbounded",
          },
        );
      for (const order of orders) {
        yield* Contract.equal((yield* race(order)).filter(Exit.isSuccess).length, 1, "winners");
        yield* Contract.equal((yield* found(order.id))?.version, 2, "the version");
      }
    }),
  ),
  Contract.check(
    "transactions that ask for the same orders in any sequence do not lock each other out",
    Effect.gen(function* () {
      const orders = yield* Effect.replicateEffect(stored(), 5);
      const ids = orders.map((order) => order.id);
      const store = yield* OrderStore;
      const unit = yield* UnitOfWork;
      const sequences = Array.from({ length: 10 }, (_, turn) => (turn % 2 === 0 ? ids : ids.toReversed()));
      const exits = yield* Effect.forEach(sequences, (sequence) => Effect.exit(unit.commit(store.load(sequence))), {
        concurrency: "unbounded",
      });
      yield* Contract.equal(exits.filter(Exit.isSuccess).length, sequences.length, "transactions that succeeded");
    }),
  ),
];

export const cases: ReadonlyArray<Contract.Case<Ports>> = [...keeping, ...racing];
