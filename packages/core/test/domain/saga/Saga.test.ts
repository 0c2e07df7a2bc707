import { Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Message, Saga } from "@org/saga-core";

const Ref = Schema.Struct({ id: Schema.String });
const topic = { topic: "t", key: ({ id }: { readonly id: string }) => id };
const Do = Message.command("do.v1", Ref, topic);
const Did = Message.event("did.v1", Ref, topic);
const Refused = Message.event("refused.v1", Ref, topic);
const Rang = Message.event("rang.v1", Ref, topic);

const options = { send: Do, with: (data: { readonly id: string }) => data, done: Did };
const none = { none: "it changes nothing" };
const failed = [Saga.failedBy(Refused, () => "no")];

const open = Saga.make("x", { version: 1, data: Ref });
const bounded = Saga.make("x", { version: 1, data: Ref, deadline: "1 day" });

/** Each with what it is told, or with "none". */
const declared: ReadonlyArray<readonly [what: string, problem: string, declare: () => unknown]> = [
  [
    "names a step twice",
    'two steps are named "a"',
    () => open.pipe(Saga.step("a", { ...options, undo: none }), Saga.pivot("a", { ...options, undo: none })),
  ],
  ["names a step with the separator of keys", 'leave the ":" out', () => open.pipe(Saga.step("a:b", { ...options, undo: none }))],
  [
    "cannot tell success from failure",
    'both are "did.v1"',
    () => open.pipe(Saga.step("a", { ...options, undo: none, failed: [Saga.failedBy(Did, () => "no")] })),
  ],
  ["waits no time", "needs a timeout above 0", () => open.pipe(Saga.step("a", { ...options, undo: none, timeout: 0 }))],
  ["never asks", "raise its attempts", () => open.pipe(Saga.step("a", { ...options, undo: none, attempts: 0 }))],
  [
    "tries failures again that it does not declare",
    "add them to failed",
    () => open.pipe(Saga.step("a", { ...options, undo: none, retry: { rounds: 2, first: 1, max: 2 } })),
  ],
  [
    "has pauses that shrink",
    "0 < retry.first <= retry.max",
    () => open.pipe(Saga.step("a", { ...options, undo: none, failed, retry: { rounds: 2, first: 3, max: 2 } })),
  ],
  [
    "may turn around when something is done that nobody can undo",
    'give "b" an undo, or say why it needs none',
    () =>
      open.pipe(
        Saga.pivot("a", { ...options, undo: none }),
        Saga.retriable("b", options),
        Saga.retriable("c", { ...options, failed, otherwise: "undo" }),
      ),
  ],
  [
    "has two steps that wait for the same signal",
    "which one is meant",
    () => bounded.pipe(Saga.signal("a", { on: Rang }), Saga.signal("b", { on: Rang })),
  ],
  ["may wait for ever", "give it a timeout, or the saga a deadline", () => open.pipe(Saga.signal("a", { on: Rang }))],
  [
    "may wait for ever behind its pivot, where no deadline ends it",
    '"b" may wait for ever: give it a timeout',
    () => bounded.pipe(Saga.pivot("a", { ...options, undo: none }), Saga.signal("b", { on: Rang })),
  ],
  [
    "is answered by what no step awaits",
    'no step awaits the reply "refused.v1": name it',
    () => open.pipe(Saga.pivot("a", { ...options, undo: none }), Saga.answers([Did, Refused])),
  ],
];

describe("a definition", () => {
  it.each(declared)("that %s is refused with what to do: %s", (_, problem, declare) => {
    expect(declare).toThrow(problem);
  });

  it("is data: steps by name, kind and what they come after", () => {
    const definition = open.pipe(
      Saga.step("a", { ...options, undo: none }),
      Saga.parallel([
        Saga.step("b", { ...options, undo: none }),
        [Saga.step("c", { ...options, undo: none }), Saga.signal("d", { on: Rang, timeout: "1 hour", otherwise: "goOn" })],
      ]),
      Saga.pivot("e", { ...options, undo: none }),
      Saga.parallel([Saga.retriable("f", options), Saga.retriable("g", { ...options, when: ({ id }) => id !== "" })]),
    );
    expect(definition.steps.map(({ name, kind, after }) => [name, kind, after])).toEqual([
      ["a", "compensatable", []],
      ["b", "compensatable", ["a"]],
      ["c", "compensatable", ["a"]],
      ["d", "compensatable", ["c"]],
      ["e", "pivot", ["b", "d"]],
      ["f", "retriable", ["e"]],
      ["g", "retriable", ["e"]],
    ]);
    expect(definition.awaits.map(({ type }) => type)).toEqual(["did.v1", "rang.v1"]);
  });

  it("waits for what was there when a branch, or all of them, are empty", () => {
    for (const branches of [[], [[]], [[], []]]) {
      const saga = open.pipe(
        Saga.step("a", { ...options, undo: none }),
        Saga.parallel(branches),
        Saga.pivot("b", { ...options, undo: none }),
      );
      expect(saga.steps.map(({ after }) => after)).toEqual([[], ["a"]]);
    }
  });

  it("does not compile without what it needs", () => {
    const pivoted = open.pipe(Saga.pivot("a", { ...options, undo: none }));
    const refused: ReadonlyArray<() => unknown> = [
      // @ts-expect-error a second pivot
      () => pivoted.pipe(Saga.pivot("b", { ...options, undo: none })),
      // @ts-expect-error a step that would have to be undone, after the pivot
      () => pivoted.pipe(Saga.step("b", { ...options, undo: none })),
      // @ts-expect-error a step that is never undone, before the pivot
      () => open.pipe(Saga.retriable("b", options)),
      // @ts-expect-error neither an undo nor a reason
      () => open.pipe(Saga.step("b", options)),
      // @ts-expect-error may fail for good, and does not say what then
      () => pivoted.pipe(Saga.retriable("b", { ...options, failed })),
      // @ts-expect-error a race, and nothing is said of its end
      () => open.pipe(Saga.signal("b", { on: Rang, timeout: "1 hour" })),
      // @ts-expect-error the body of another message
      () => open.pipe(Saga.step("b", { ...options, with: () => ({ name: "x" }), undo: none })),
      // @ts-expect-error no pivot
      () => Saga.worstCaseMillis(open, "a", "b"),
    ];
    // Without types, one hears it.
    for (const [index, problem] of ["2 pivots", "declare it with Saga.retriable", "declare it with Saga.step"].entries()) {
      expect(refused[index]).toThrow(problem);
    }
  });
});
