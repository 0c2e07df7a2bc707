import { Effect, Layer, Result, Schedule } from "effect";
import { describe, expect, it } from "vitest";
import { CheckoutMessages as M, CustomerId, type Message, Money, type Order, OrderId, OrderStore, Quantity, Sku } from "@org/saga-core";
import { Conversation, Invariants, Simulator } from "@org/saga-core/testing";
import { OrderService } from "@example/order";

const orderId = OrderId.make("order-1");

const order: OrderService.Place = {
  id: orderId,
  customerId: CustomerId.make("ada"),
  lines: [{ sku: Sku.make("mug"), name: "Mug", quantity: Quantity.make(2), unitPrice: Money.of(899, "EUR") }],
  paymentMethod: "pm_success",
  cancelPolicy: "createdOnly",
};

/** The order service that is alive now. */
class Living {
  orders: OrderService.Orders["Service"] | null = null;

  readonly layer = Layer.effectDiscard(
    Effect.map(OrderService.Orders, (orders) => {
      this.orders = orders;
    }),
  );

  get now(): OrderService.Orders["Service"] {
    if (this.orders === null) throw new Error("no order service is alive");
    return this.orders;
  }
}

const settings = { cancelWindowMillis: 500, stepTimeoutMillis: 2_000, paymentTimeoutMillis: 5_000 };

const hold = <A, E>(
  script: (talk: Conversation.Talk, living: Living) => Effect.Effect<A, E, Conversation.Ports>,
  faults = Simulator.noFaults,
  seed = 1,
): A => {
  const living = new Living();
  const service = Layer.merge(OrderService.roles(["relay", "consumer", "worker"]), living.layer).pipe(
    Layer.provide(OrderService.layer(settings)),
  );
  return Conversation.hold({ service, catalogue: M.catalogue, faults, seed }, (talk) => script(talk, living));
};

const stored = Effect.gen(function* () {
  return (yield* (yield* OrderStore).find([orderId])).get(orderId);
});

/** What the participants answer when all goes well. */
const GOOD: Readonly<Record<string, Message.MessageType<{ readonly orderId: OrderId }>>> = {
  [M.CheckBalance.type]: M.BalanceSufficient,
  [M.AuthorizePayment.type]: M.PaymentAuthorized,
  [M.CommitStock.type]: M.StockCommitted,
  [M.CapturePayment.type]: M.PaymentCaptured,
  [M.FulfillOrder.type]: M.FulfillmentSucceeded,
  [M.ShipStock.type]: M.StockShipped,
  [M.VoidPayment.type]: M.PaymentVoided,
  [M.RefundPayment.type]: M.PaymentRefunded,
};

const reply = (to: Message.Envelope, except: Readonly<Record<string, Message.Draft | null>> = {}): Message.Draft | undefined => {
  const options = { stepKey: to.stepKey ?? undefined, saga: to.saga ?? undefined };
  const other = except[to.type];
  if (other === null) return undefined;
  if (other !== undefined) return { ...other, stepKey: to.stepKey, saga: to.saga };
  if (to.type === M.ReserveStock.type) return M.StockReserved.draft({ orderId, until: to.occurredAt + 60_000 }, options);
  if (to.type === M.ReleaseStock.type) return M.StockReleased.draft({ orderId, reason: "asked" }, options);
  return GOOD[to.type]?.draft({ orderId }, options);
};

/** Plays the participants for a while: answers every command that is heard, each once, and says what they were. */
const play = Effect.fnUntraced(function* (
  talk: Conversation.Talk,
  millis: number,
  except: Readonly<Record<string, Message.Draft | null>> = {},
  answered: Set<string> = new Set(),
) {
  const commands: Array<string> = [];
  for (let waited = 0; waited < millis; waited += 100) {
    for (const heard of talk.heard()) {
      if (answered.has(heard.id)) continue;
      answered.add(heard.id);
      const draft = reply(heard, except);
      if (draft === undefined) continue;
      commands.push(heard.type);
      yield* talk.tell(draft);
    }
    yield* talk.wait(100);
  }
  return commands;
});

const statuses = (found: Order.Order | undefined) => found?.history.map(({ status }) => status);

/** Schedules of crashes that a test tries, and how long it may take for that on a busy machine, in milliseconds. */
const SEEDS = 4;
const CRASHES_MS = 60_000;

describe("the order service", () => {
  it("takes an order, and sees it through its checkout", () => {
    hold(
      Effect.fnUntraced(function* (talk, living) {
        yield* talk.wait(10);
        const handled = yield* living.now.place(order, null);
        expect(handled).toMatchObject({ _tag: "Answered", repeated: false });
        expect((yield* living.now.find(orderId))?.status).toBe("created");
        const commands = yield* play(talk, 10_000);
        expect(commands).toEqual([
          "payment.check-balance.v1",
          "inventory.reserve.v1",
          "payment.authorize.v1",
          "inventory.commit.v1",
          "payment.capture.v1",
          "fulfillment.fulfill.v1",
          "inventory.ship.v1",
        ]);
        expect(statuses(yield* stored)).toEqual(["created", "pendingPayment", "awaitingPayment", "awaitingFulfillment", "finished"]);
        const told = talk.heard().filter(({ topic }) => topic === "order.events");
        expect(told.map(({ type }) => type)).toEqual([M.OrderCreated.type, ...Array.from({ length: 4 }, () => M.OrderStatusChanged.type)]);
      }),
    );
  });

  it("rests in created until the cancel window is over, and asks nobody when it is canceled in time", () => {
    hold(
      Effect.fnUntraced(function* (talk, living) {
        yield* talk.wait(10);
        yield* living.now.place(order, null);
        yield* talk.wait(400);
        const handled = yield* living.now.cancel(orderId, "user");
        expect(handled._tag === "Answered" && handled.answer !== null && Result.isSuccess(handled.answer)).toBe(true);
        expect(yield* play(talk, 5_000)).toEqual([]);
        expect(yield* stored).toMatchObject({ status: "canceled", reason: "canceledByUser" });
      }),
    );
  });

  it("asks again under the same key when an answer does not come, and undoes what it gives up", () => {
    hold(
      Effect.fnUntraced(function* (talk, living) {
        yield* talk.wait(10);
        yield* living.now.place(order, null);
        const commands = yield* play(talk, 60_000, { [M.AuthorizePayment.type]: null });
        const asked = talk.heard().filter(({ type }) => type === M.AuthorizePayment.type);
        expect(asked.map(({ stepKey }) => stepKey)).toEqual(Array.from({ length: 3 }, () => "order-1:authorize-payment:1"));
        // It may have happened: it is voided like one that did.
        expect(commands.slice(-2)).toEqual(["payment.void.v1", "inventory.release.v1"]);
        expect(yield* stored).toMatchObject({ status: "canceled", reason: "paymentTimeout" });
      }),
    );
  });

  it("undoes in reverse when the payment is declined", () => {
    hold(
      Effect.fnUntraced(function* (talk, living) {
        yield* talk.wait(10);
        yield* living.now.place(order, null);
        const commands = yield* play(talk, 10_000, {
          [M.AuthorizePayment.type]: M.PaymentDeclined.draft({ orderId, reason: "declined" }),
        });
        expect(commands).toEqual(["payment.check-balance.v1", "inventory.reserve.v1", "payment.authorize.v1", "inventory.release.v1"]);
        expect(yield* stored).toMatchObject({ status: "failed", reason: "paymentDeclined" });
      }),
    );
  });

  it("gives the money back when an order that is paid cannot be fulfilled", () => {
    hold(
      Effect.fnUntraced(function* (talk, living) {
        yield* talk.wait(10);
        yield* living.now.place(order, null);
        const commands = yield* play(talk, 10_000, { [M.FulfillOrder.type]: M.FulfillmentFailed.draft({ orderId, detail: "no" }) });
        expect(commands.slice(-3)).toEqual(["payment.refund.v1", "payment.void.v1", "inventory.release.v1"]);
        expect(statuses(yield* stored)?.slice(-2)).toEqual(["failed", "refunded"]);
      }),
    );
  });

  it("answers a repeated key with the first answer, and refuses it for another order", () => {
    hold(
      Effect.fnUntraced(function* (talk, living) {
        yield* talk.wait(10);
        const key = { scope: "ada", key: "k", fingerprint: "f" };
        const [first, again, other] = [
          yield* living.now.place(order, key),
          yield* living.now.place({ ...order, id: OrderId.make("order-2") }, key),
          yield* living.now.place({ ...order, id: OrderId.make("order-3") }, { ...key, fingerprint: "g" }),
        ];
        expect(first).toMatchObject({ repeated: false });
        expect(again).toEqual({ ...first, repeated: true });
        expect(other).toEqual({ _tag: "KeyReused" });
        expect(talk.world.database.orders.committed.size).toBe(1);
      }),
    );
  });

  it(
    "brings every order to its end when its process dies again and again (G7, G9)",
    () => {
      const faults: Simulator.Faults = {
        crash: 0.02,
        delay: 0.05,
        delayMaxMillis: 50,
        downMaxMillis: 500,
        until: 1_767_225_600_000 + 20_000,
      };
      for (let seed = 1; seed <= SEEDS; seed++) {
        hold(
          Effect.fnUntraced(function* (talk, living) {
            const key = { scope: "ada", key: "k", fingerprint: "f" };
            // A client that asks until it is answered, as one with an idempotency key may.
            const asked = Effect.suspend(() => living.now.place(order, key)).pipe(Effect.timeout("1 second"));
            yield* talk.wait(1_000);
            // A process that is down answers at once: without a pause, all attempts could meet the same moment.
            yield* Effect.retry(asked, { times: 60, schedule: Schedule.spaced("100 millis") });
            yield* play(talk, 60_000);
            const found = yield* stored;
            expect(found?.status).toBe("finished");
            expect(found === undefined ? [] : Invariants.histories([found])).toEqual([]);
          }),
          faults,
          seed,
        );
      }
    },
    CRASHES_MS,
  );

  it("refuses to start with a hold that could expire before its commit", () => {
    const service = OrderService.layer({ holdTtlMillis: 1_000 });
    expect(() => Conversation.hold({ service, catalogue: M.catalogue }, (talk) => talk.wait(1_000))).toThrow(
      /the stock hold lives 1000 ms/,
    );
  });
});
