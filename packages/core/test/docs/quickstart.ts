import { Effect, Result, Schema } from "effect";
import {
  Aggregate,
  Checkout,
  CommandHandler,
  CustomerId,
  Mailbox,
  Message,
  Money,
  Order,
  OrderId,
  Quantity,
  Saga,
  SagaRunner,
  Sku,
} from "@org/saga-core";

// A decision is a plain function: no Effect, no Promise, no clock inside.
const place = (id: string): Extract<Order.Command, { _tag: "Place" }> => ({
  _tag: "Place",
  id: OrderId.make(id),
  customerId: CustomerId.make("ada"),
  lines: [{ sku: Sku.make("mug"), name: "Mug", quantity: Quantity.make(2), unitPrice: Money.of(899, "EUR") }],
  paymentMethod: "pm_success",
  cancelPolicy: "createdOnly",
  now: 0,
});
export const decided = Order.decide(null, place("order-1"));

// Messages are declared once; topic, key and schema belong to them.
const Seat = Schema.Struct({ trip: Schema.String });
const seats = { topic: "seat.commands", key: (body: { readonly trip: string }) => body.trip };
const HoldSeat = Message.command("seat.hold.v1", Seat, seats);
const DropSeat = Message.command("seat.drop.v1", Seat, seats);
const PayTrip = Message.command("trip.pay.v1", Seat, seats);
const SeatHeld = Message.event("seat.held.v1", Seat, seats);
const SeatTaken = Message.event("seat.taken.v1", Seat, seats);
const SeatDropped = Message.event("seat.dropped.v1", Seat, seats);
const TripPaid = Message.event("trip.paid.v1", Seat, seats);
const PaymentFailed = Message.event("trip.payment-failed.v1", Seat, seats);

// A saga is declared once: what each step sends, what it awaits, how it is undone. One step is the pivot.
export const Trip = Saga.make("trip", { version: 1, data: Seat }).pipe(
  Saga.step("hold-seat", {
    send: HoldSeat,
    with: (trip) => trip,
    done: SeatHeld,
    failed: [Saga.failedBy(SeatTaken, () => "noSeat")],
    undo: { send: DropSeat, with: (trip) => trip, done: SeatDropped },
    timeout: "10 seconds",
  }),
  Saga.pivot("pay", {
    send: PayTrip,
    with: (trip) => trip,
    done: TripPaid,
    failed: [Saga.failedBy(PaymentFailed, () => "notPaid")],
    undo: { none: "nothing follows it" },
    timeout: "30 seconds",
  }),
);

// Running: concurrent requests, messages and timers of an order share one commit; each caller gets its own answer.
export const placeTwice = Effect.gen(function* () {
  const orders = yield* Mailbox.make({
    name: "orders",
    key: Aggregate.keyOf<SagaRunner.Command>,
    run: CommandHandler.runBatch(SagaRunner.make(Checkout.make())),
  });
  const idempotency = { scope: "ada", key: "my-first-order", fingerprint: "digest of the request" };
  const request = Aggregate.request<SagaRunner.Command>("order-1", (now) => ({ ...place("order-1"), now }), { idempotency });
  const first = yield* orders.submit(request);
  const again = yield* orders.submit(request); // the same key: the same answer, and nothing happens twice
  return [first, again].map(
    (handled) => handled._tag === "Answered" && [handled.repeated, handled.answer !== null && Result.isSuccess(handled.answer)],
  );
});
