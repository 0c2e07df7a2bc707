import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Checkout, CheckoutMessages as M, OrderStatus, Order, Saga, SagaDecider, StateMachine } from "@org/saga-core";
import { orderId } from "../Fixtures.ts";
import { definition, type Fate, lucky, World } from "./CheckoutWorld.ts";

const run = (fate: Partial<Fate> = {}): World => {
  const world = new World({ ...lucky, ...fate });
  world.settle();
  return world;
};

describe("a checkout without faults", () => {
  it("ends with goods shipped and money captured once", () => {
    const world = run();
    expect(world.statuses).toEqual(["pendingPayment", "awaitingPayment", "awaitingFulfillment", "finished"]);
    expect([world.saga.status, world.stock, world.money, world.captures]).toEqual(["completed", "shipped", "captured", 1]);
    expect(world.timers.size).toBe(0);
  });

  it.each([
    ["insufficient balance", { balance: false }, "failed", "insufficientBalance", "none", "none"],
    ["no stock", { stock: false }, "canceled", "outOfStock", "rejected", "none"],
    ["a declined payment", { authorize: "declined" }, "failed", "paymentDeclined", "released", "declined"],
    ["a payment that never answers", { authorize: "timeout" }, "canceled", "paymentTimeout", "released", "declined"],
    ["a hold that expired", { commit: false }, "canceled", "holdExpired", "released", "voided"],
    ["a refused capture", { capture: "declined" }, "failed", "paymentDeclined", "released", "voided"],
    ["a capture that never answers", { capture: "timeout" }, "canceled", "paymentTimeout", "released", "voided"],
    ["a failed fulfilment", { fulfill: false }, "refunded", "fulfillmentFailed", "released", "refunded"],
  ] as const)("undoes everything after %s", (_, fate, status, reason, stock, money) => {
    const world = run(fate);
    expect([world.status, world.state.aggregate?.reason, world.stock, world.money, world.saga.status]).toEqual([
      status,
      reason,
      stock,
      money,
      "compensated",
    ]);
    expect(world.timers.size).toBe(0);
  });

  it("shows the failure before the refund when fulfilment fails", () => {
    expect(run({ fulfill: false }).statuses.slice(-3)).toEqual(["awaitingFulfillment", "failed", "refunded"]);
  });

  it("ends with nothing to undo when a cancel wins the race for `created`", () => {
    const waiting = Checkout.make({ cancelWindowMillis: 500 });
    const data = { ...dataOf(), orderId };
    const [resting, sends] = SagaDecider.transition(waiting, null, { _tag: "Start", id: orderId, data, now: 0 });
    expect(sends).toEqual([{ _tag: "Schedule", name: "wake", token: "1", at: 500 }]);
    const [started, first] = SagaDecider.transition(waiting, resting, { _tag: "Timer", name: "wake", token: "1", now: 500 });
    expect(first).toEqual([{ _tag: "Local", step: "start-checkout", command: { _tag: "StartCheckout" } }]);
    const [ended, last] = SagaDecider.transition(waiting, started, {
      _tag: "LocalReply",
      step: "start-checkout",
      accepted: false,
      now: 501,
    });
    expect(ended?.status).toBe("compensated");
    expect(last.filter((send) => send._tag === "Message")).toEqual([]);
  });
});

describe("the saga's rules", () => {
  it("asks a compensatable step again under the same key, then gives up and undoes it although it never answered", () => {
    const world = new World(lucky);
    const keys = new Set<string | null>();
    for (let attempt = 0; attempt < Saga.ATTEMPTS_MAX; attempt++) {
      for (const envelope of world.network) keys.add(envelope.stepKey);
      world.network.length = 0;
      world.fire();
    }
    expect([...keys]).toEqual([`${orderId}:check-balance:1`]);
    expect([world.saga.status, world.status, world.state.aggregate?.reason]).toEqual(["compensated", "canceled", "checkoutTimeout"]);
  });

  it("never gives up a capture whose outcome is unknown", () => {
    const world = new World(lucky);
    while (!world.network.some((envelope) => envelope.type === M.CapturePayment.type)) world.deliver(0);
    for (let attempt = 0; attempt < 50; attempt++) {
      world.network.length = 0;
      world.fire();
    }
    expect(world.saga.status).toBe("running");
    expect(SagaDecider.canCancel(definition, world.saga)).toBe(false);
    expect(world.cancel()).toBe(false);
    world.settle();
    expect([world.status, world.captures]).toEqual(["finished", 1]);
  });

  it("ignores a firing that is out of date, a late reply, and inputs of an instance that is not there", () => {
    const world = run();
    const before = world.state;
    world.stale("wake", "1");
    world.stale("reserve-stock", "do:1");
    world.stale("start", "start");
    world.stale("no-such-step", "do:1");
    world.input({ _tag: "LocalReply", step: "finish", accepted: false, now: 9 });
    world.input({ _tag: "Resume", now: 9 });
    world.input({ _tag: "Start", id: orderId, data: dataOf(), now: 9 });
    expect(world.state).toEqual(before);
    expect(SagaDecider.transition(definition, null, { _tag: "Cancel", by: "user", now: 1 })).toEqual([null, []]);
  });

  it("rests in compensationFailed when an undo is refused for good, and goes on when a person asks", () => {
    const world = new World({ ...lucky, fulfill: false });
    while (!world.network.some((envelope) => envelope.type === M.PaymentRefunded.type)) world.deliver(0);
    const refund = world.network.find((envelope) => envelope.type === M.PaymentRefunded.type);
    world.network.length = 0;
    world.send(M.RefundRefused.draft({ orderId }, { stepKey: refund?.stepKey ?? undefined }));
    world.settle();
    expect([world.saga.status, world.status]).toEqual(["compensationFailed", "failed"]);
    world.input({ _tag: "Resume", now: 99_999 });
    world.settle();
    expect([world.saga.status, world.status, world.money]).toEqual(["compensated", "refunded", "refunded"]);
  });

  it("rests in compensationFailed when a void meets money that does not go back: the order is not canceled over it (G3, G8)", () => {
    const world = new World(lucky);
    while (!world.network.some((envelope) => envelope.type === M.PaymentAuthorized.type)) world.deliver(0);
    world.cancel();
    const asked = world.network.find((envelope) => envelope.type === M.VoidPayment.type);
    world.network.length = 0;
    world.send(M.RefundRefused.draft({ orderId }, { stepKey: asked?.stepKey ?? undefined }));
    world.settle();
    expect([world.saga.status, world.status]).toEqual(["compensationFailed", "pendingPayment"]);
    world.input({ _tag: "Resume", now: 99_999 });
    world.settle();
    expect([world.saga.status, world.status, world.stock]).toEqual(["compensated", "canceled", "released"]);
  });

  it("refuses a hold that could expire before its commit", () => {
    expect(() => Checkout.make({ holdTtlMillis: 60_000 })).toThrow("raise holdTtlMillis");
    const timeouts = { stepTimeoutMillis: 2_000, paymentTimeoutMillis: 3_000 };
    const least = Checkout.holdMinimumMillis(timeouts);
    expect(() => Checkout.make({ ...timeouts, holdTtlMillis: least - 1 })).toThrow("raise holdTtlMillis");
    expect(Checkout.make({ ...timeouts, holdTtlMillis: least }).name).toBe("checkout");
  });
});

describe("an instance's timer", () => {
  it("is written once and removed once by a checkout whose steps are answered in time", () => {
    const world = run();
    expect(world.wrote).toEqual({ scheduled: 1, removed: 1 });
  });

  it("that fires when nothing is due is set to what is due next, and asks nobody", () => {
    const world = new World(lucky);
    const { dueAt } = world.saga.steps["check-balance"] ?? {};
    world.deliver(0);
    world.deliver(0);
    const later = world.saga.steps["reserve-stock"]?.dueAt;
    expect([world.timers.get("wake")?.at, world.wrote.scheduled]).toEqual([dueAt, 1]);
    world.network.length = 0;
    world.fire();
    expect([world.timers.get("wake"), world.network.length]).toMatchObject([{ token: "2", at: later }, 0]);
    world.fire();
    expect(world.network.map(({ type }) => type)).toEqual([M.ReserveStock.type]);
  });

  it("that was moved to an earlier time makes due what is due next; a clock that was set back does not", () => {
    const world = new World(lucky);
    world.deliver(0);
    world.deliver(0);
    world.network.length = 0;
    world.fire(true);
    expect(world.network.map(({ type }) => type)).toEqual([M.ReserveStock.type]);
    const { id, data, ...rest } = world.saga;
    const at = world.timers.get("wake")?.at ?? 0;
    const [, send] = SagaDecider.transition(
      definition,
      { ...rest, id, data, steps: { ...rest.steps, "reserve-stock": { status: "sent", round: 1, attempts: 1, dueAt: at + 5_000 } } },
      { _tag: "Timer", name: "wake", token: String(rest.wakes), now: at - SagaDecider.MOVED_MS },
    );
    expect(send).toEqual([{ _tag: "Schedule", name: "wake", token: String(rest.wakes + 1), at: at + 5_000 }]);
  });
});

/** What a fault may be, drawn by a number. */
const act = (world: World, draw: number): void => {
  const { length } = world.network;
  const index = length === 0 ? 0 : Math.floor(draw / 16) % length;
  const kind = draw % 16;
  if (kind < 8) world.deliver(index);
  else if (kind < 11) world.deliver(index, true);
  else if (kind < 13) world.lose(index);
  else if (kind < 15) world.fire(kind === 14);
  else if (draw % 5 === 0) world.cancel();
};

const anyFate: fc.Arbitrary<Fate> = fc.record({
  balance: fc.boolean(),
  stock: fc.boolean(),
  authorize: fc.constantFrom("ok", "ok", "declined", "timeout"),
  commit: fc.boolean(),
  capture: fc.constantFrom("ok", "ok", "declined", "timeout"),
  fulfill: fc.boolean(),
});

describe("a checkout under loss, duplication, reordering, timeouts and cancels", () => {
  it("comes to rest with money and goods in agreement (G3), once each (G6), along the table (G7, G9)", () => {
    fc.assert(
      fc.property(anyFate, fc.array(fc.nat({ max: 1_000_000 }), { maxLength: 120 }), (fate, draws) => {
        const world = new World(fate);
        for (const draw of draws) act(world, draw);
        world.settle();
        const order = world.state.aggregate;
        if (order === null) throw new Error("no order");
        expect(Order.isTerminal(order)).toBe(true);
        expect(SagaDecider.isAtRest(world.saga)).toBe(true);
        expect(world.captures).toBeLessThanOrEqual(1);
        expect(world.refunds).toBeLessThanOrEqual(world.captures);
        const delivered = world.stock === "shipped";
        expect(world.captures - world.refunds).toBe(delivered ? 1 : 0);
        expect(order.status === "finished").toBe(delivered);
        expect(["held", "committed"]).not.toContain(world.stock);
        for (const [index, status] of order.history.entries()) {
          const next = order.history[index + 1];
          if (next !== undefined) expect(StateMachine.can(OrderStatus.machine, status.status, next.status)).toBe(true);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

const dataOf = (): Checkout.Data => new World(lucky).saga.data;
