import { Effect, Layer } from "effect";
import { describe, expect, it } from "vitest";
import {
  CheckoutMessages as M,
  CustomerId,
  type Message,
  Money,
  OrderId,
  type OrderStatus,
  Quantity,
  Sku,
  Timers,
  UnitOfWork,
} from "@org/saga-core";
import { Conversation, Simulator } from "@org/saga-core/testing";
import { Concurrency, type ServiceConfig } from "@example/contracts";
import { NotificationService } from "@example/notification";

const serviceIn = (mode: ServiceConfig.InboxMode) =>
  NotificationService.roles(["relay", "consumer", "worker"], Concurrency.defaults, mode).pipe(Layer.provide(NotificationService.layer));

const orderId = OrderId.make("order-1");

const created: Message.Draft = M.OrderCreated.draft({
  orderId,
  customerId: CustomerId.make("ada"),
  lines: [{ sku: Sku.make("mug"), name: "Mug", quantity: Quantity.make(1), unitPrice: Money.of(899, "EUR") }],
  total: Money.of(899, "EUR"),
  at: 1,
});

const changed = (from: OrderStatus.OrderStatus, to: OrderStatus.OrderStatus, at: number): Message.Draft =>
  M.OrderStatusChanged.draft({ orderId, from, to, reason: to === "canceled" ? "outOfStock" : null, at });

const story = [created, changed("created", "pendingPayment", 2), changed("pendingPayment", "canceled", 3)];

const statuses = Effect.map(NotificationService.find(orderId), (notices) => notices.map(({ status, reason }) => [status, reason]));

const told = [
  ["created", null],
  ["pendingPayment", null],
  ["canceled", "outOfStock"],
];

const holdIn =
  (mode: ServiceConfig.InboxMode) =>
  <A, E>(script: (talk: Conversation.Talk) => Effect.Effect<A, E, Conversation.Ports>, faults = Simulator.noFaults, seed = 1): A =>
    Conversation.hold({ service: serviceIn(mode), catalogue: M.catalogue, faults, seed }, script);

/** Schedules of crashes that a test tries, and how long it may take for that on a busy machine, in milliseconds. */
const SEEDS = 8;
const CRASHES_MS = 60_000;

const modes: ReadonlyArray<ServiceConfig.InboxMode> = ["transaction", "store"];

describe.each(modes)("the notification service, its inbox in mode %s", (mode) => {
  const hold = holdIn(mode);

  it("tells each status once, in order, however often it hears of it", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        const messages = yield* talk.tell(...story);
        yield* talk.repeat(messages);
        // The same news under another id: a producer that tells it twice.
        yield* talk.tell(...story);
        yield* talk.wait(1_000);
        expect(yield* statuses).toEqual(told);
      }),
    );
  });

  it("has told nothing of an order that it never heard of", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* talk.wait(1_000);
        expect(yield* statuses).toEqual([]);
      }),
    );
  });

  it(
    "loses nothing and tells nothing twice when its process dies again and again",
    () => {
      const faults: Simulator.Faults = {
        crash: 0.05,
        delay: 0.05,
        delayMaxMillis: 50,
        downMaxMillis: 200,
        until: 1_767_225_600_000 + 5_000,
      };
      for (let seed = 1; seed <= SEEDS; seed++) {
        hold(
          Effect.fnUntraced(function* (talk) {
            for (const each of story) {
              yield* talk.tell(each);
              yield* talk.wait(300);
            }
            yield* talk.wait(60_000);
            expect(yield* statuses).toEqual(told);
          }),
          faults,
          seed,
        );
      }
    },
    CRASHES_MS,
  );

  it("says nothing to the world, and sets no timers", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* talk.tell(...story);
        yield* talk.wait(1_000);
        expect(talk.heard()).toEqual([]);
        expect(yield* (yield* Timers).list(NotificationService.NAME, orderId)).toEqual([]);
        expect(yield* UnitOfWork).toBeDefined();
      }),
    );
  });
});
