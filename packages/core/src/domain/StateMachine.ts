/**
 * A typed transition table, the only source of what may follow what. Guards, SQL guards, diagrams and property tests
 * derive from it, so they cannot disagree.
 */
import { Result } from "effect";

export interface StateMachine<S extends string> {
  readonly name: string;
  readonly initial: S;
  readonly states: ReadonlyArray<S>;
  readonly table: { readonly [K in S]: ReadonlyArray<S> };
}

/** A move that is not in the table. */
export interface InvalidTransition<S extends string> {
  readonly _tag: "InvalidTransition";
  readonly machine: string;
  readonly from: S;
  readonly to: S;
}

/** Declares a machine. A target that is not itself a state of the table does not compile. */
export const make = <const T extends { readonly [K in keyof T]: ReadonlyArray<keyof T & string> }>(
  name: string,
  initial: keyof T & string,
  table: T,
): StateMachine<keyof T & string> => ({ name, initial, table, states: keysOf(table) });

/** Is `from → to` in the table? */
export const can = <S extends string>(machine: StateMachine<S>, from: S, to: S): boolean => machine.table[from].includes(to);

/** The guard in front of every change: `to`, or why not. */
export const guard = <S extends string>(machine: StateMachine<S>, from: S, to: S): Result.Result<S, InvalidTransition<S>> =>
  can(machine, from, to) ? Result.succeed(to) : Result.fail({ _tag: "InvalidTransition", machine: machine.name, from, to });

/** Nothing leaves a terminal state. */
export const isTerminal = <S extends string>(machine: StateMachine<S>, state: S): boolean => machine.table[state].length === 0;

export const terminals = <S extends string>(machine: StateMachine<S>): ReadonlyArray<S> =>
  machine.states.filter((state) => isTerminal(machine, state));

/** The states that may move to `to`: the list of an SQL guard `where status in (…)`. */
export const sources = <S extends string>(machine: StateMachine<S>, to: S): ReadonlyArray<S> =>
  machine.states.filter((from) => can(machine, from, to));

/** Every state that some path from `from` (itself included) leads to. */
export const reachable = <S extends string>(machine: StateMachine<S>, from: S = machine.initial): ReadonlySet<S> => {
  const seen = new Set<S>([from]);
  const open: Array<S> = [from];
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (const next of machine.table[state]) {
      if (!seen.has(next)) {
        seen.add(next);
        open.push(next);
      }
    }
  }
  return seen;
};

/** Mermaid `stateDiagram-v2` text. */
export const mermaid = <S extends string>(machine: StateMachine<S>): string =>
  [
    "stateDiagram-v2",
    `  [*] --> ${machine.initial}`,
    ...machine.states.flatMap((from) => machine.table[from].map((to) => `  ${from} --> ${to}`)),
    ...terminals(machine).map((state) => `  ${state} --> [*]`),
    "",
  ].join("\n");

const keysOf = <T extends object>(table: T): ReadonlyArray<keyof T & string> => {
  const keys: Array<keyof T & string> = [];
  for (const key in table) keys.push(key);
  return keys;
};
