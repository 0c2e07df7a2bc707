import { Schema } from "effect";
import { describe, expect, it } from "vitest";
import { DirectSaga, Message, Saga, SagaReplay, SagaRunner, SagaVersions } from "@org/saga-core";
import { simulate } from "../../flow/Harness.ts";

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

/** No whole number of milliseconds above 0. */
const WRONG_TIMES = [0, -1, Number.NaN, "1500 micros", "Infinity"] as const;

/** Each with what it is told, or with "none". */
const declared: ReadonlyArray<readonly [what: string, problem: string, declare: () => unknown]> = [
  [
    "names a step twice",
    'two steps are named "a"',
    () => open.pipe(Saga.step("a", { ...options, undo: none }), Saga.pivot("a", { ...options, undo: none })),
  ],
  ...["a:b", "a@b", "a/b", "", " ", "constructor", "__proto__", "toString"].flatMap((name): typeof declared => [
    [`names a step "${name}"`, "give it a name without", () => open.pipe(Saga.step(name, { ...options, undo: none }))],
    [`is named "${name}"`, "give it a name without", () => Saga.make(name, { version: 1, data: Ref })],
  ]),
  ...[0, -1, 1.5, Number.NaN, 3_000_000_000].map((version): (typeof declared)[number] => [
    `has the version ${version}`,
    "count from 1",
    () => Saga.make("x", { version, data: Ref }),
  ]),
  ...WRONG_TIMES.flatMap((time): typeof declared => [
    [`has a deadline of ${time}`, "needs a deadline above 0", () => Saga.make("x", { version: 1, data: Ref, deadline: time })],
    [`waits ${time} for an answer`, "needs a timeout above 0", () => open.pipe(Saga.step("a", { ...options, undo: none, timeout: time }))],
    [
      `waits ${time} for a signal`,
      "needs a timeout above 0",
      () => open.pipe(Saga.signal("a", { on: Rang, timeout: time, otherwise: "undo" })),
    ],
    [
      `pauses ${time} between undos`,
      "0 < undoRetry.first <= undoRetry.max",
      () => Saga.make("x", { version: 1, data: Ref, undoRetry: { first: time, max: time } }),
    ],
  ]),
  ["starts before its start", "a startAfter of 0 or more", () => Saga.make("x", { version: 1, data: Ref, startAfter: -1 })],
  ["never starts", "a startAfter of 0 or more", () => Saga.make("x", { version: 1, data: Ref, startAfter: "Infinity" })],
  [
    "has pauses between undos that shrink",
    "0 < undoRetry.first <= undoRetry.max",
    () => Saga.make("x", { version: 1, data: Ref, undoRetry: { first: 2, max: 1 } }),
  ],
  ["does not say why it needs no undo", "does not say why", () => open.pipe(Saga.step("a", { ...options, undo: { none: " " } }))],
  [
    "cannot tell an undo from its refusal",
    'both are "refused.v1"',
    () => open.pipe(Saga.step("a", { ...options, undo: { ...options, done: Refused, refused: Refused } })),
  ],
  ...[Did, Refused].flatMap((type): typeof declared => [
    [
      `is undone by ${type.type}, which says what became of the step`,
      `from a late one to itself, both are "${type.type}": give undo.done and undo.refused types of their own`,
      () => open.pipe(Saga.step("a", { ...options, failed, undo: { ...options, done: type } })),
    ],
    [
      `has an undo refused by ${type.type}, which says what became of the step`,
      `from a late one to itself, both are "${type.type}": give undo.done and undo.refused types of their own`,
      () => open.pipe(Saga.step("a", { ...options, failed, undo: { ...options, done: Rang, refused: type } })),
    ],
  ]),
  ...[Did, Refused].map((unseen): (typeof declared)[number] => [
    `cannot tell ${unseen.type} from a call that never arrived`,
    "give probe.unseen a type of its own",
    () => open.pipe(Saga.step("a", { ...options, undo: none, failed, probe: { ...options, unseen } })),
  ]),
  [
    "sends an event",
    'sends the event "did.v1": declare it with Message.command',
    () => open.pipe(Saga.step("a", { ...options, send: Did, undo: none })),
  ],
  [
    "is undone by an event",
    'sends the event "did.v1": declare it with Message.command',
    () => open.pipe(Saga.step("a", { ...options, undo: { ...options, send: Did } })),
  ],
  [
    "is answered by a command",
    'answered by the command "do.v1": declare it with Message.event',
    () => open.pipe(Saga.step("a", { ...options, done: Do, undo: none })),
  ],
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
    const problems = [
      "2 pivots",
      "declare it with Saga.retriable",
      "declare it with Saga.step",
      '"b" has neither an undo nor a reason for having none: say undo:',
      'give it otherwise: "undo" or "goOn"',
      'give it otherwise: "undo" or "goOn"',
    ];
    for (const [index, problem] of problems.entries()) expect(refused[index]).toThrow(problem);
    expect(refused.at(-1)).toThrow("it has no pivot: declare the point of no return with Saga.pivot");
  });

  it("does not compile with half of an undo or without its messages, and says so without types", () => {
    // @ts-expect-error neither what is sent nor a reason
    expect(() => open.pipe(Saga.step("b", { ...options, undo: {} }))).toThrow('"b" has an undo that is not whole: say undo:');
    // @ts-expect-error no reply
    expect(() => open.pipe(Saga.step("b", { ...options, undo: { send: Do, with: options.with } }))).toThrow("not whole");
    // @ts-expect-error no command
    expect(() => open.pipe(Saga.step("b", { ...options, send: undefined, undo: none }))).toThrow('"b" needs a command to send');
    // @ts-expect-error no reply
    expect(() => open.pipe(Saga.step("b", { ...options, done: undefined, undo: none }))).toThrow('"b" needs the reply');
    // @ts-expect-error no message
    expect(() => bounded.pipe(Saga.signal("b", { on: undefined }))).toThrow('"b" needs the message that it waits for');
    // @ts-expect-error no duration
    expect(() => open.pipe(Saga.step("b", { ...options, undo: none, timeout: "soon" }))).toThrow("needs a timeout above 0");
  });

  it("is asked for wherever a saga runs or is checked, and one without a pivot is refused", () => {
    const draft = open.pipe(Saga.step("a", { ...options, undo: none }));
    const uses: ReadonlyArray<() => unknown> = [
      // @ts-expect-error no pivot
      () => Saga.check(draft),
      // @ts-expect-error no pivot
      () => Saga.explore(draft),
      // @ts-expect-error no pivot
      () => Saga.choreograph(draft, { home: "a", owners: { a: "a" } }),
      // @ts-expect-error no pivot
      () => SagaVersions.make(draft),
      // @ts-expect-error no pivot
      () => SagaRunner.make(draft),
      // @ts-expect-error no pivot
      () => SagaReplay.record(draft, "none", []),
      // @ts-expect-error no pivot
      () => simulate(() => DirectSaga.make({ definition: draft, steps: [] })),
    ];
    for (const use of uses) expect(use).toThrow('saga "x": it has no pivot');
  });

  it("tells its worst case from one of its steps to a later one, and of no others", () => {
    const saga = open.pipe(
      Saga.step("a", { ...options, undo: none, timeout: 10, attempts: 2 }),
      Saga.pivot("b", { ...options, undo: none, timeout: 5 }),
    );
    expect(Saga.worstCaseMillis(saga, "a", "a")).toBe(20);
    expect(Saga.worstCaseMillis(saga, "a", "b")).toBe(20 + 5 * Saga.ATTEMPTS_MAX);
    expect(() => Saga.worstCaseMillis(saga, "a", "z")).toThrow('saga "x": "z" is no step: name one of a, b');
    expect(() => Saga.worstCaseMillis(saga, "z", "b")).toThrow('"z" is no step');
    expect(() => Saga.worstCaseMillis(saga, "b", "a")).toThrow('"a" is declared before "b": the order is a, b');
  });
});
