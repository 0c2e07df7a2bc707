import { Result } from "effect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Checkout, Saga } from "@org/saga-core";
import { failureText, reportText } from "../../../../src/domain/saga/check/SagaCheck.ts";
import { anyPlan, declare } from "../AnySaga.ts";

/** Time for many sagas on a machine that does something else, in milliseconds. */
const TEST_MAX_MS = 120_000;

describe("Saga.check", () => {
  it("explores the checkout saga completely, and says how it ends", () => {
    expect(reportText(Saga.check(Checkout.make()))).toMatchInlineSnapshot(`
      "saga "checkout@1" keeps every law
      495 states, 4068 transitions; bounds: 500000 states, 2 rounds a step, any number of copies, one instance
      It comes to rest:
        compensated
        compensationFailed
        compensationFailed, with reserve-stock
        compensationFailed, with reserve-stock, authorize-payment
        compensationFailed, with reserve-stock, authorize-payment, capture-payment
        completed, with reserve-stock, authorize-payment, capture-payment"
    `);
  });

  it("explores it with a rest before its first step, in which it may be canceled", () => {
    const { states, ends } = Saga.check(Checkout.make({ cancelWindowMillis: 60_000 }));
    expect(states).toBeGreaterThan(Saga.check(Checkout.make()).states);
    expect(ends).toEqual(Saga.check(Checkout.make()).ends);
  });

  it("fails, and does not pass, when there are more states than it may visit", () => {
    const { states } = Saga.check(Checkout.make());
    expect(Saga.check(Checkout.make(), { states }).states).toBe(states);
    const spent = Saga.explore(Checkout.make(), { states: states - 1 });
    expect(Result.isFailure(spent) ? failureText(spent.failure) : "").toContain(`is not checked: it has more than ${states - 1} states`);
    expect(() => Saga.check(Checkout.make(), { states: 10 })).toThrow('saga "checkout@1" is not checked: it has more than 10 states');
  });
});

/** Steps of a saga that is drawn: with more of them side by side, states are too many for a test. */
const STEPS_MAX = 8;
const STATES_MAX = 5_000;
const RUNS = 100;

describe("any saga", () => {
  it("keeps every law, as far as its states can be visited", { timeout: TEST_MAX_MS }, () => {
    let complete = 0;
    const anySaga = anyPlan.map(declare).filter(({ steps }) => steps.length <= STEPS_MAX);
    fc.assert(
      fc.property(anySaga, (saga) => {
        const explored = Saga.explore(saga, { states: STATES_MAX });
        if (Result.isSuccess(explored)) complete += 1;
        else expect(explored.failure._tag === "LawBroken" ? failureText(explored.failure) : null).toBeNull();
      }),
      { numRuns: RUNS },
    );
    expect(complete).toBeGreaterThan(RUNS / 2);
  });
});
