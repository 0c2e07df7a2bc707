/** Sagas drawn at random: sequences, branches side by side, conditions, signals, probes, new rounds; each step with messages of its own. */
import { Schema } from "effect";
import fc from "fast-check";
import { Message, Saga } from "@org/saga-core";

/** What an instance remembers: how many steps are done. */
export const Data = Schema.Struct({ id: Schema.String, done: Schema.Int });
export type Data = typeof Data.Type;

const Ref = Schema.Struct({ id: Schema.String });
type Ref = typeof Ref.Type;
const Refusal = Schema.Struct({ id: Schema.String, isTransient: Schema.Boolean });
const topic = { topic: "any", key: ({ id }: { readonly id: string }) => id };

const slotOf = (name: string) => ({
  name,
  Do: Message.command(`${name}.do.v1`, Ref, topic),
  Did: Message.event(`${name}.did.v1`, Ref, topic),
  Refused: Message.event(`${name}.refused.v1`, Refusal, topic),
  Undo: Message.command(`${name}.undo.v1`, Ref, topic),
  Undone: Message.event(`${name}.undone.v1`, Ref, topic),
  UndoRefused: Message.event(`${name}.undo-refused.v1`, Ref, topic),
  Probe: Message.command(`${name}.probe.v1`, Ref, topic),
  Unseen: Message.event(`${name}.unseen.v1`, Ref, topic),
  Rang: Message.event(`${name}.rang.v1`, Ref, topic),
});

export type Slot = ReturnType<typeof slotOf>;

/** Before the pivot, and after it again: nodes, branches of one, steps of a branch, at most. */
const NODES_MAX = 3;
const BRANCHES_MAX = 3;
const BRANCH_MAX = 2;

/** Room for the largest saga that is drawn. */
export const slots: ReadonlyArray<Slot> = Array.from({ length: 2 * NODES_MAX * BRANCHES_MAX * BRANCH_MAX + 1 }, (_, index) =>
  slotOf(`s${index + 1}`),
);

export const TIMEOUT_MS = 10_000;

/** How a step is declared. */
interface Wish {
  readonly isSignal: boolean;
  readonly canFail: boolean;
  readonly hasUndo: boolean;
  readonly hasProbe: boolean;
  readonly retry: boolean;
  readonly retryOn: boolean;
  readonly attempts: number;
  readonly otherwise: Saga.Otherwise;
  readonly when: "always" | "never" | "even";
}

const anyWish: fc.Arbitrary<Wish> = fc.record({
  isSignal: fc.nat({ max: 5 }).map((draw) => draw === 0),
  canFail: fc.boolean(),
  hasUndo: fc.boolean(),
  hasProbe: fc.boolean(),
  retry: fc.boolean(),
  retryOn: fc.boolean(),
  attempts: fc.integer({ min: 1, max: 3 }),
  otherwise: fc.constantFrom<Saga.Otherwise>("undo", "goOn"),
  when: fc.constantFrom("always", "always", "always", "never", "even"),
});

/** A node: a step, or branches of steps. */
type Node = ReadonlyArray<ReadonlyArray<Wish>>;

const anyNodes: fc.Arbitrary<ReadonlyArray<Node>> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: anyWish.map((wish): Node => [[wish]]) },
    {
      weight: 1,
      arbitrary: fc.array(fc.array(anyWish, { minLength: 1, maxLength: BRANCH_MAX }), { minLength: 2, maxLength: BRANCHES_MAX }),
    },
  ),
  { maxLength: NODES_MAX },
);

const when = ({ when: wanted }: Wish) => (wanted === "always" ? {} : { when: ({ done }: Data) => wanted === "even" && done % 2 === 0 });

const common = (slot: Slot, wish: Wish) => ({
  send: slot.Do,
  with: ({ id }: Data) => ({ id }),
  done: slot.Did,
  onDone: (data: Data) => ({ ...data, done: data.done + 1 }),
  timeout: TIMEOUT_MS,
  undo: wish.hasUndo
    ? { send: slot.Undo, with: ({ id }: Data) => ({ id }), done: slot.Undone, refused: slot.UndoRefused }
    : { none: "it is told so" },
  ...(wish.hasProbe ? { probe: { send: slot.Probe, with: ({ id }: Data) => ({ id }), unseen: slot.Unseen } } : {}),
});

const failures = (slot: Slot, wish: Wish) => ({
  failed: [
    Saga.failedBy(
      slot.Refused,
      () => "refused",
      ({ isTransient }) => isTransient,
    ),
  ],
  ...(wish.retry ? { retry: { rounds: 3, first: 1_000, max: 2_000, jitter: 0.5 } } : {}),
  ...(wish.retryOn ? { retryOnSignal: { signal: slot.Rang, onSignal: (data: Data) => data, within: 50_000, rounds: 2 } } : {}),
});

/** Only the saga's deadline ends an endless one. */
const signal = <P extends Saga.Phase>(slot: Slot, wish: Wish, isEndless: boolean): Saga.Part<Data, never, P> =>
  Saga.signal(
    slot.name,
    isEndless ? { on: slot.Rang, ...when(wish) } : { on: slot.Rang, timeout: TIMEOUT_MS, otherwise: wish.otherwise, ...when(wish) },
  );

const before =
  (deadline: boolean) =>
  (slot: Slot, wish: Wish): Saga.Part<Data, never, "open"> => {
    if (wish.isSignal) return signal(slot, wish, deadline && !wish.canFail);
    const options = { ...common(slot, wish), ...when(wish), attempts: wish.attempts };
    return Saga.step(slot.name, wish.canFail ? { ...options, ...failures(slot, wish) } : options);
  };

const after = (slot: Slot, wish: Wish): Saga.Part<Data, never, "pivoted"> => {
  if (wish.isSignal) return signal(slot, wish, false);
  const options = { ...common(slot, wish), ...when(wish) };
  return Saga.retriable(slot.name, wish.canFail ? { ...options, ...failures(slot, wish), otherwise: wish.otherwise } : options);
};

export type Definition = Saga.Definition<Data, never>;

/** What a saga is declared from. */
export interface Plan {
  readonly front: ReadonlyArray<Node>;
  readonly pivot: Wish;
  readonly back: ReadonlyArray<Node>;
  readonly deadline: boolean;
  readonly startAfter: number;
}

export const anyPlan: fc.Arbitrary<Plan> = fc.record({
  front: anyNodes,
  pivot: anyWish,
  back: anyNodes,
  deadline: fc.boolean(),
  startAfter: fc.constantFrom(0, 5_000),
});

export const declare = ({ front, pivot, back, deadline, startAfter }: Plan): Definition => {
  const free = slots.values();
  const next = (): Slot => free.next().value ?? slotOf("none");
  const grow = <P extends Saga.Phase>(
    draft: Saga.Draft<Data, never, P>,
    nodes: ReadonlyArray<Node>,
    part: (slot: Slot, wish: Wish) => Saga.Part<Data, never, P>,
  ): Saga.Draft<Data, never, P> =>
    nodes.reduce(
      (grown, node) => Saga.parallel<Data, never, P>(node.map((branch) => branch.map((wish) => part(next(), wish))))(grown),
      draft,
    );
  const options = { version: 1, data: Data, startAfter, undoRetry: { first: TIMEOUT_MS, max: 60_000 } };
  const start = Saga.make("any", deadline ? { ...options, deadline: 60_000 } : options);
  const slot = next();
  const turning = Saga.pivot<Data, never, Ref, Ref, Ref, Ref, Ref>(slot.name, {
    ...common(slot, { ...pivot, hasUndo: true }),
    ...(pivot.canFail ? failures(slot, pivot) : {}),
  });
  return grow(turning(grow(start, front, before(deadline))), back, after);
};

/** How a participant behaves, by step. */
export interface Fate {
  /** Refusals before it accepts; what cannot fail never refuses. */
  readonly refusals: number;
  readonly isTransient: boolean;
  /** Refusals of the undo before it is granted. */
  readonly undoRefusals: number;
}

export const anyFates: fc.Arbitrary<ReadonlyArray<Fate>> = fc.array(
  fc.record({
    refusals: fc.constantFrom(0, 0, 0, 1, 2, 9),
    isTransient: fc.boolean(),
    undoRefusals: fc.constantFrom(0, 0, 0, 1),
  }),
  { minLength: slots.length, maxLength: slots.length },
);
