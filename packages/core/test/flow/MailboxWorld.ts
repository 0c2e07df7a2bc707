/** Mailboxes of numbers, each under a key, on the virtual clock. */
import { Effect, Exit, type Scope } from "effect";
import { Mailbox, type StoreError } from "@org/saga-core";
import { Simulator } from "@org/saga-core/testing";

export interface Item {
  readonly key: string;
  readonly value: number;
}

type Run = (items: ReadonlyArray<Item>) => Effect.Effect<ReadonlyArray<number>, StoreError>;

export const item = (value: number, key = `k${value}`): Item => ({ key, value });

export const values = (items: ReadonlyArray<Item>): ReadonlyArray<number> => items.map(({ value }) => value);

export const mailbox = (run: Run, options: Partial<Mailbox.Options<Item, number, never>> = {}) =>
  Mailbox.make<Item, number, never>({ name: "test", key: ({ key }) => key, run, ...options });

/** On the virtual clock, so that pauses cost nothing. */
export const simulate = <A, E>(program: Effect.Effect<A, E, Scope.Scope>, seed = 1): A => {
  const { exit } = Simulator.run({ seed }, Effect.scoped(program));
  if (Exit.isFailure(exit)) throw new Error(Simulator.explain(exit));
  return exit.value;
};
