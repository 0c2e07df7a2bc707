/** What is left out is nothing: with and without reduction, the same laws hold and the same ends are reached. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Checkout, type Saga, SagaCheck } from "@org/saga-core";
import * as Exploration from "../../../../src/domain/saga/check/Exploration.ts";
import * as Model from "../../../../src/domain/saga/check/Model.ts";
import * as Reduction from "../../../../src/domain/saga/check/Reduction.ts";
import { anyPlan, declare } from "../AnySaga.ts";
import * as Mistakes from "./Mistakes.ts";
import { Trip, Triplets, Twins } from "./Trip.ts";

/** Time for many sagas on a machine that does something else, in milliseconds. */
const TEST_MAX_MS = 120_000;

const STATES_MAX = 50_000;

const explored = (model: Model.Model, reduction: Reduction.Reduction, statesMax: number) => {
  const { states, ends, isComplete, broken } = Exploration.visit(model, statesMax, reduction);
  return { states, isComplete, found: { ends, law: broken?.law ?? null } };
};

const both = <D, C>(definition: Saga.Definition<D, C>, statesMax = STATES_MAX) => {
  const model = Model.of(definition, SagaCheck.ROUNDS_MAX);
  return { whole: explored(model, Reduction.none, statesMax), reduced: explored(model, Reduction.of(model), statesMax) };
};

/** Small enough that many are visited whole. */
const STEPS_MAX = 5;
const ANY_STATES_MAX = 4_000;
const RUNS = 100;

describe("the reduction of worlds", () => {
  it.each([
    ["the checkout", () => both(Checkout.make())],
    ["steps that differ", () => both(Trip)],
    ["two steps that are each other's like", () => both(Twins)],
    ["three of them", () => both(Triplets)],
  ])("leaves out nothing that can be seen of %s", (_, run) => {
    const { whole, reduced } = run();
    expect([whole.isComplete, reduced.isComplete]).toEqual([true, true]);
    expect(reduced.found).toEqual(whole.found);
    expect(reduced.states).toBeLessThan(whole.states);
  });

  it("leaves out nothing that can be seen of any saga", { timeout: TEST_MAX_MS }, () => {
    let complete = 0;
    const anySaga = anyPlan.map(declare).filter(({ steps }) => steps.length <= STEPS_MAX);
    fc.assert(
      fc.property(anySaga, (saga) => {
        const { whole, reduced } = both(saga, ANY_STATES_MAX);
        if (!whole.isComplete) return;
        complete += 1;
        expect(reduced.found).toEqual(whole.found);
      }),
      { numRuns: RUNS },
    );
    expect(complete).toBeGreaterThan(RUNS / 2);
  });

  it.each([Mistakes.tombstoneIgnored, Mistakes.doneAgain, Mistakes.timeoutIgnored, Mistakes.answeredBeforeCommit])(
    "leaves a mistake among steps that are each other's like to be found",
    (mistake) => {
      const model = mistake(Model.of(Twins, SagaCheck.ROUNDS_MAX));
      const whole = explored(model, Reduction.none, STATES_MAX);
      expect(explored(model, Reduction.of(model), STATES_MAX).found.law).toBe(whole.found.law);
      expect(whole.found.law).not.toBeNull();
    },
  );
});
