/**
 * A decider: a decision as a value. `decide` says what happens or why not, `evolve` folds what happened into the state.
 * Both are pure and synchronous: no clock, no randomness, no I/O. What they need of the world arrives in the command.
 *
 * Source: Jérémie Chassaing, "Functional Event Sourcing Decider".
 */
import { Result } from "effect";

export interface Decider<S, C, E, R> {
  readonly initial: S;
  /** The events that `command` causes in `state`, or a rejection. No events: accepted, nothing to do. */
  readonly decide: (state: S, command: C) => Result.Result<ReadonlyArray<E>, R>;
  /** Total: it never fails and never refuses. */
  readonly evolve: (state: S, event: E) => S;
}

/** The state after a command, and the events that led there. */
export interface Step<S, E> {
  readonly state: S;
  readonly events: ReadonlyArray<E>;
}

export const fold = <S, C, E, R>(decider: Decider<S, C, E, R>, events: ReadonlyArray<E>, state: S = decider.initial): S => {
  let current = state;
  for (const event of events) current = decider.evolve(current, event);
  return current;
};

/** One command: decide, then evolve. */
export const run = <S, C, E, R>(decider: Decider<S, C, E, R>, state: S, command: C): Result.Result<Step<S, E>, R> => {
  const decided = decider.decide(state, command);
  if (Result.isFailure(decided)) return Result.fail(decided.failure);
  return Result.succeed({ state: fold(decider, decided.success, state), events: decided.success });
};
