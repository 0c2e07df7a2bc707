import { Result } from "effect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Decider, Order, OrderStatus, StateMachine } from "@org/saga-core";
import { anyCommand, line, orderId, place } from "./Fixtures.ts";

const { machine } = OrderStatus;

type Accepted = Result.Result<Decider.Step<Order.State, Order.Event>, Order.Rejection>;

/** Folds commands that are accepted; refused ones change nothing. */
const after = (...commands: ReadonlyArray<Order.Command>): Order.Order => {
  let state: Order.State = null;
  for (const command of commands) {
    const step: Accepted = Decider.run(Order.decider, state, command);
    if (Result.isFailure(step)) throw new Error(`refused: ${JSON.stringify(step.failure)}`);
    state = step.success.state;
  }
  if (state === null) throw new Error("no order");
  return state;
};

const refusal = (state: Order.State, command: Order.Command): Order.Rejection => {
  const decided = Order.decide(state, command);
  if (Result.isSuccess(decided)) throw new Error("accepted");
  return decided.failure;
};

const start: Order.Command = { _tag: "StartCheckout", now: 2_000 };
const complete: Order.Command = { _tag: "CompleteCheckout", now: 3_000 };
const confirm: Order.Command = { _tag: "ConfirmPayment", now: 4_000 };
const cancel: Order.Command = { _tag: "Cancel", by: "user", now: 5_000 };

describe("an order", () => {
  it("is placed with its lines as snapshots and their sum as total", () => {
    const order = after(place());
    expect(order).toMatchObject({ id: orderId, status: "created", total: { amount: 4_500, currency: "EUR" }, version: 1, paid: false });
    expect(order.lines).toEqual(place().lines);
    expect(order.history).toEqual([{ status: "created", at: 1_000, reason: null }]);
  });

  it("goes through the happy path and remembers when", () => {
    const order = after(place(), start, complete, confirm, { _tag: "Finish", now: 5_000 });
    expect(order.history.map(({ status, at }) => [status, at])).toEqual([
      ["created", 1_000],
      ["pendingPayment", 2_000],
      ["awaitingPayment", 3_000],
      ["awaitingFulfillment", 4_000],
      ["finished", 5_000],
    ]);
    expect(order.paid).toBe(true);
    expect(Order.isTerminal(order)).toBe(true);
  });

  it("that failed after its payment is not at its end before the money is back", () => {
    const failed = after(place(), start, complete, confirm, { _tag: "Close", reason: "fulfillmentFailed", now: 5_000 });
    expect([failed.status, Order.isTerminal(failed)]).toEqual(["failed", false]);
    const refunded = after(
      place(),
      start,
      complete,
      confirm,
      { _tag: "Close", reason: "fulfillmentFailed", now: 5_000 },
      { _tag: "Refund", now: 6_000 },
    );
    expect([refunded.status, refunded.reason, Order.isTerminal(refunded)]).toEqual(["refunded", "fulfillmentFailed", true]);
  });

  it("that failed without a payment is at its end and cannot be refunded", () => {
    const failed = after(place(), start, { _tag: "Close", reason: "paymentDeclined", now: 3_000 });
    expect([failed.status, Order.isTerminal(failed)]).toEqual(["failed", true]);
    expect(refusal(failed, { _tag: "Refund", now: 4_000 })).toEqual({ _tag: "NothingCaptured" });
  });

  it("can be canceled by its buyer while it is created, and a second cancel changes nothing", () => {
    const order = after(place(), cancel);
    expect([order.status, order.reason, Order.isCanceled(order)]).toEqual(["canceled", "canceledByUser", true]);
    expect(Order.decide(order, cancel)).toEqual(Result.succeed([]));
  });

  it("under createdOnly refuses its buyer's cancel once checkout has it, and says why; an operator may still ask", () => {
    const order = after(place(), start);
    expect(refusal(order, cancel)).toEqual({ _tag: "TooLateToCancel", status: "pendingPayment", policy: "createdOnly" });
    expect(after(place(), start, { ...cancel, by: "operator" }).cancelRequested).toBe(true);
  });

  it("under compensating accepts a cancel until the pivot, once", () => {
    const requested = after(place({ cancelPolicy: "compensating" }), start, complete, cancel);
    expect([requested.status, requested.cancelRequested]).toEqual(["awaitingPayment", true]);
    expect(Order.decide(requested, cancel)).toEqual(Result.succeed([]));
    const paid = after(place({ cancelPolicy: "compensating" }), start, complete, confirm);
    expect(refusal(paid, cancel)._tag).toBe("TooLateToCancel");
  });

  it("refuses a second placing, no lines, too many lines, two currencies, and commands to an order that is not there", () => {
    expect(refusal(after(place()), place())).toEqual({ _tag: "OrderExists", id: orderId });
    expect(refusal(null, place({ lines: [] }))).toEqual({ _tag: "EmptyOrder" });
    expect(refusal(null, place({ lines: Array.from({ length: 101 }, (_, n) => line(`sku-${n}`, 1, 1)) }))).toEqual({
      _tag: "TooManyLines",
      max: 100,
    });
    expect(refusal(null, place({ lines: [line("mug", 1, 1), line("cap", 1, 1, "USD")] }))).toMatchObject({ _tag: "CurrencyMismatch" });
    expect(refusal(null, start)).toEqual({ _tag: "OrderNotFound" });
  });

  it("keeps a timeline that never runs backwards, whatever the clocks say", () => {
    const order = after(place({ now: 9_000 }), start);
    expect(order.history.map(({ at }) => at)).toEqual([9_000, 9_000]);
  });
});

describe("any sequence of commands (G7)", () => {
  it("moves only along the table; terminal stays terminal; lines and total never change; history and version count events", () => {
    fc.assert(
      fc.property(fc.array(anyCommand, { maxLength: 30 }), (commands) => {
        let state: Order.State = null;
        let events = 0;
        for (const command of commands) {
          const before: Order.State = state;
          const step: Accepted = Decider.run(Order.decider, state, command);
          if (Result.isFailure(step)) continue;
          state = step.success.state;
          events += step.success.events.length;
          if (before === null || state === null) continue;
          if (state.status !== before.status) {
            expect(StateMachine.can(machine, before.status, state.status)).toBe(true);
            expect(Order.isTerminal(before)).toBe(false);
          }
          expect(state.lines).toBe(before.lines);
          expect(state.total).toBe(before.total);
          expect(state.history.length).toBeGreaterThanOrEqual(before.history.length);
        }
        if (state === null) return;
        expect(state.version).toBe(events);
        expect(state.history.at(-1)?.status).toBe(state.status);
        expect(state.total.amount).toBe(state.lines.reduce((sum, { quantity, unitPrice }) => sum + quantity * unitPrice.amount, 0));
        expect(state.history.map(({ at }) => at)).toEqual(state.history.map(({ at }) => at).toSorted((a, b) => a - b));
        expect(state.status === "refunded" ? state.paid : true).toBe(true);
        for (const [index, { status }] of state.history.entries()) {
          const previous = state.history[index - 1];
          if (previous !== undefined) expect(StateMachine.can(machine, previous.status, status)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("folds to the same state from its events alone", () => {
    fc.assert(
      fc.property(fc.array(anyCommand, { maxLength: 20 }), (commands) => {
        let state: Order.State = null;
        const events: Array<Order.Event> = [];
        for (const command of commands) {
          const step: Accepted = Decider.run(Order.decider, state, command);
          if (Result.isFailure(step)) continue;
          state = step.success.state;
          events.push(...step.success.events);
        }
        expect(Decider.fold(Order.decider, events)).toEqual(state);
      }),
    );
  });

  it("ignores events of an order that is not there", () => {
    expect(Order.evolve(null, { _tag: "CancelRequested", id: orderId, reason: "canceledByUser", at: 1 })).toBe(null);
  });
});
