/**
 * What is explored: a definition without data, the decider, and how participants and commits behave. Tests plant mistakes
 * here, to see that each is found.
 */
import type { Definition } from "../SagaDefinition.ts";
import * as SagaDecider from "../SagaDecider.ts";
import * as AbstractSaga from "./AbstractSaga.ts";
import * as Calls from "./Calls.ts";
import * as Choices from "./Choices.ts";
import * as Participant from "./Participant.ts";

export type Decide = (
  saga: AbstractSaga.AbstractSaga,
  instance: SagaDecider.Instance<null> | null,
  input: SagaDecider.Input<null>,
) => readonly [next: SagaDecider.Instance<null> | null, send: ReadonlyArray<SagaDecider.Send<string>>];

/** What a crash leaves of a decision that is not whole: its messages are out, or its timer is gone, and nothing else. */
export type Torn = "messages" | "timer";

export interface Model {
  readonly saga: AbstractSaga.AbstractSaga;
  readonly choices: Choices.Choices;
  readonly calls: ReadonlyArray<Calls.Call>;
  /** The calls of each step. */
  readonly rounds: ReadonlyMap<string, ReadonlyArray<Calls.Call>>;
  readonly decide: Decide;
  readonly participant: Participant.Participant;
  /** A crash leaves all of a decision or nothing: none. */
  readonly torn: ReadonlyArray<Torn>;
}

export const of = <D, C>(definition: Definition<D, C>, rounds: number): Model => {
  const choices = Choices.make();
  const saga = AbstractSaga.of(definition, choices, rounds);
  const calls = Calls.of(saga);
  return { saga, choices, calls, rounds: Calls.bySteps(calls), decide: SagaDecider.transition, participant: Participant.receive, torn: [] };
};
