import { Result } from "effect";
import { describe, expect, it } from "vitest";
import { OrderStatus, StateMachine } from "@org/saga-core";

const { machine } = OrderStatus;

describe("the transition table", () => {
  it("lets every pair of states through or refuses it, exactly as the design says", () => {
    const legal = new Set([
      "created→pendingPayment",
      "created→canceled",
      "created→failed",
      "pendingPayment→awaitingPayment",
      "pendingPayment→canceled",
      "pendingPayment→failed",
      "awaitingPayment→awaitingFulfillment",
      "awaitingPayment→canceled",
      "awaitingPayment→failed",
      "awaitingFulfillment→finished",
      "awaitingFulfillment→failed",
      "failed→refunded",
    ]);
    for (const from of machine.states) {
      for (const to of machine.states) {
        const guarded = StateMachine.guard(machine, from, to);
        expect(Result.isSuccess(guarded), `${from}→${to}`).toBe(legal.has(`${from}→${to}`));
        if (Result.isFailure(guarded)) expect(guarded.failure).toEqual({ _tag: "InvalidTransition", machine: "order", from, to });
      }
    }
  });

  it("reaches every status from the initial one, and ends in three that nothing leaves", () => {
    expect([...StateMachine.reachable(machine)].toSorted()).toEqual([...machine.states].toSorted());
    expect(StateMachine.terminals(machine)).toEqual(["finished", "canceled", "refunded"]);
    expect([...StateMachine.reachable(machine, "failed")]).toEqual(["failed", "refunded"]);
  });

  it("knows where a status may be entered from, for SQL guards", () => {
    expect(StateMachine.sources(machine, "canceled")).toEqual(["created", "pendingPayment", "awaitingPayment"]);
    expect(StateMachine.sources(machine, "created")).toEqual([]);
  });

  it("draws itself", () => {
    const text = StateMachine.mermaid(machine);
    expect(text).toContain("[*] --> created");
    expect(text).toContain("awaitingFulfillment --> finished");
    expect(text).toContain("refunded --> [*]");
    expect(text.split("\n").filter((line) => /^ {2}\w+ --> \w/.test(line))).toHaveLength(12);
  });

  it("says what each reason ends in", () => {
    expect(OrderStatus.Reason.literals.map((reason) => [reason, OrderStatus.endOf(reason)])).toEqual([
      ["canceledByUser", "canceled"],
      ["canceledByOperator", "canceled"],
      ["outOfStock", "canceled"],
      ["holdExpired", "canceled"],
      ["paymentTimeout", "canceled"],
      ["checkoutTimeout", "canceled"],
      ["insufficientBalance", "failed"],
      ["paymentDeclined", "failed"],
      ["fulfillmentFailed", "failed"],
    ]);
  });
});
