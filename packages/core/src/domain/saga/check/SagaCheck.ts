/**
 * `Saga.check`: every way in which a saga may go is gone, with the real decider, on a bounded abstraction of its definition.
 *
 *     test("trip always ends", () => Saga.check(Trip))
 *
 * The abstraction: no data (each condition holds and does not hold, the aggregate agrees and refuses), one instance, rounds up
 * to a bound. The environment: every message may be lost, late, repeated any number of times and overtaken by any other one;
 * whatever is due fires at any time, so every time limit is too short and too long; participants grant and refuse as they
 * like, by what their steps declare; cancels, signals and starts come at any time, operators resume and resolve; a decision is
 * committed whole or happens again.
 *
 * It proves, in these bounds: the saga comes to rest when faults stop, and rests nowhere but in `completed`, `compensated` and
 * `compensationFailed`; completed, each step was done once; compensated, nothing that has an undo is left, nor comes late;
 * undos keep their order; the pivot is undone only for a step after it. When the states are more than it may visit, it fails.
 *
 * Worlds that cannot be told apart by what may follow are visited once (`Reduction`).
 *
 * It does not prove: what data decides, that time limits are wise, that participants keep keys and tombstones as they must, or
 * that a reason given in place of an undo is true.
 */
import { Result } from "effect";
import type { Definition } from "../SagaDefinition.ts";
import * as SagaRules from "../SagaRules.ts";
import * as Exploration from "./Exploration.ts";
import type { Law } from "./Laws.ts";
import * as Model from "./Model.ts";
import * as Trace from "./Trace.ts";

export type { End } from "./Exploration.ts";
export type { Law } from "./Laws.ts";

/** Rounds of a step: with two, one may end while another begins. */
export const ROUNDS_MAX = 2;

/** States that are visited before it fails: some seconds, and less than a gigabyte. */
export const STATES_MAX = 500_000;

export interface Options {
  /** Rounds that a step is given at most, whatever it declares. */
  readonly rounds?: number;
  /** States that are visited before it fails. */
  readonly states?: number;
}

export interface Bounds {
  readonly rounds: number;
  readonly states: number;
}

/** What was visited. */
export interface Visited {
  /** `<saga>@<version>` */
  readonly saga: string;
  readonly bounds: Bounds;
  readonly states: number;
  readonly transitions: number;
}

/** Every state was visited, and every law holds. */
export interface Report extends Visited {
  /** The ways in which it comes to rest. */
  readonly ends: ReadonlyArray<Exploration.End>;
}

export type Failure =
  | (Visited & { readonly _tag: "BudgetSpent" })
  | (Visited & {
      readonly _tag: "LawBroken";
      readonly law: Law;
      readonly problem: string;
      /** A shortest way there, an event a line. */
      readonly trace: ReadonlyArray<string>;
      /** The same as a Mermaid sequence diagram. */
      readonly diagram: string;
    });

/** Fails with a shortest trace, or because there are more states than it may visit. */
export const explore = <D, C>(definition: Definition<D, C>, options: Options = {}): Result.Result<Report, Failure> => {
  SagaRules.expectWhole(definition);
  const { rounds = ROUNDS_MAX, states = STATES_MAX } = options;
  for (const [name, bound] of Object.entries({ rounds, states })) {
    if (!Number.isSafeInteger(bound) || bound < 1)
      SagaRules.refuse(definition.name, `it cannot be checked within ${name}: ${bound}, a whole number of 1 or more is needed`);
  }
  return exploreModel(Model.of(definition, rounds), { rounds, states });
};

export const exploreModel = (model: Model.Model, bounds: Bounds): Result.Result<Report, Failure> => {
  const { states, transitions, ends, isComplete, broken } = Exploration.run(model, bounds.states);
  const saga = `${model.saga.name}@${model.saga.version}`;
  const visited: Visited = { saga, bounds, states, transitions };
  if (broken !== null) {
    const { law, problem } = broken;
    const diagram = Trace.mermaid(saga, broken);
    return Result.fail({ _tag: "LawBroken", ...visited, law, problem, trace: Trace.lines(broken), diagram });
  }
  return isComplete ? Result.succeed({ ...visited, ends }) : Result.fail({ _tag: "BudgetSpent", ...visited });
};

/** The same for a test: throws an `Error` that tells what is wrong, with the trace. */
export const check = <D, C>(definition: Definition<D, C>, options: Options = {}): Report => {
  const explored = explore(definition, options);
  if (Result.isFailure(explored)) throw new Error(failureText(explored.failure));
  return explored.success;
};

export const reportText = (report: Report): string =>
  [
    `saga "${report.saga}" keeps every law`,
    visitedText(report),
    "It comes to rest:",
    ...report.ends.map(({ status, standing }) => `  ${status}${standing.length === 0 ? "" : `, with ${standing.join(", ")}`}`),
  ].join("\n");

export const failureText = (failure: Failure): string => {
  const { saga } = failure;
  if (failure._tag === "BudgetSpent") {
    return [`saga "${saga}" is not checked: it has more than ${failure.bounds.states} states`, visitedText(failure), REMEDY].join("\n");
  }
  const { problem, law, trace, diagram } = failure;
  const events = trace.map((line, index) => `  ${index + 1}. ${line}`);
  return [`saga "${saga}" breaks a law (${law}): ${problem}`, visitedText(failure), ...events, "", diagram].join("\n");
};

const REMEDY = "Give it a higher bound of states, or fewer rounds; or split the saga: steps side by side multiply states.";

const visitedText = ({ bounds, states, transitions }: Visited): string =>
  `${states} states, ${transitions} transitions; bounds: ${bounds.states} states, ${bounds.rounds} rounds a step, any number of copies, one instance`;
