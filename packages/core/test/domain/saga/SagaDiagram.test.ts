import { Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Checkout, Message, Saga, SagaDecider, SagaDiagram } from "@org/saga-core";
import { Shop } from "../../docs/sagas.ts";

const linesOf = (text: string): ReadonlyArray<string> => text.split("\n").map((line) => line.trim());

const Ref = Schema.Struct({ id: Schema.String });
const topic = { topic: "t", key: ({ id }: { readonly id: string }) => id };
const M = {
  Do: Message.command("do.v1", Ref, topic),
  Did: Message.event("did.v1", Ref, topic),
  Undo: Message.command("undo.v1", Ref, topic),
  Undone: Message.event("undone.v1", Ref, topic),
  Refused: Message.event("refused.v1", Ref, topic),
  UndoRefused: Message.event("undo-refused.v1", Ref, topic),
};
const id = (data: { readonly id: string }) => data;
const step = { send: M.Do, with: id, done: M.Did, failed: [Saga.failedBy(M.Refused, () => "no")], timeout: "1 minute" } as const;
const undo = { undo: { send: M.Undo, with: id, done: M.Undone, refused: M.UndoRefused } };
const none = { undo: { none: "it changes nothing" } };

const definition = Saga.make("x", { version: 3, data: Ref }).pipe(
  Saga.parallel([Saga.step("a", { ...step, ...undo }), Saga.step("b", { ...step, ...undo })]),
  Saga.step("c", { ...step, ...none }),
  Saga.pivot("end", { ...step, ...none }),
);

const at = (status: SagaDecider.Status, steps: Record<string, SagaDecider.StepStatus>): SagaDecider.Instance<typeof Ref.Type> => ({
  saga: "x",
  version: 3,
  id: "i",
  status,
  data: { id: "i" },
  steps: Object.fromEntries(Object.entries(steps).map(([name, each]) => [name, { status: each, round: 1, attempts: 1 }])),
  failure: status === "running" ? null : { step: "end", reason: "no" },
  startedAt: 0,
  wakeAt: null,
  wakes: 0,
});

describe("the state diagram of a saga", () => {
  it("has every step once, and every undo of a step that has one", () => {
    const [checkout, shop] = [Checkout.make(), Shop];
    for (const [text, steps] of [
      [SagaDiagram.states(checkout), checkout.steps],
      [SagaDiagram.states(shop), shop.steps],
    ] as const) {
      const lines = linesOf(text);
      for (const each of steps) {
        const name = `do_${each.name.replaceAll("-", "_")}`;
        expect(lines.filter((line) => line.endsWith(`as ${name}`))).toHaveLength(1);
        const undos = lines.filter((line) => line.endsWith(`as un${name}`));
        expect(undos).toHaveLength(each._tag === "Remote" && each.undo !== null ? 1 : 0);
      }
    }
  });

  it("goes down as the steps come after each other, and back as their undos do", () => {
    const flow = linesOf(SagaDiagram.states(definition)).filter((line) => / --> [^:]*$/.test(line));
    expect(flow).toEqual([
      "[*] --> do_a",
      "[*] --> do_b",
      "do_a --> do_c",
      "do_b --> do_c",
      "do_c --> do_end",
      "do_end --> completed",
      "undo_b --> compensated",
      "undo_a --> compensated",
      "completed --> [*]",
      "compensated --> [*]",
    ]);
  });

  it("turns around where the decider does: a failed step is passed by, one that timed out is undone itself", () => {
    const turns = linesOf(SagaDiagram.states(definition)).filter((line) => / --> .* : /.test(line));
    expect(turns).toEqual([
      "do_a --> undo_b : failed",
      "do_a --> undo_a : timed out",
      "do_b --> undo_a : failed",
      "do_b --> undo_b : timed out",
      "do_c --> undo_a : failed, timed out",
      "do_c --> undo_b : failed, timed out",
      "do_end --> undo_a : refused",
      "do_end --> undo_b : refused",
    ]);
  });

  it("never turns around at a step that cannot fail for good", () => {
    expect(linesOf(SagaDiagram.states(Checkout.make())).filter((line) => line.startsWith("do_ship_stock --> un"))).toEqual([]);
  });

  it("marks what became of an instance: done, under way, undone, stuck", () => {
    const running = linesOf(SagaDiagram.states(definition, at("running", { a: "done", b: "sent" })));
    expect(running.filter((line) => line.startsWith("class "))).toEqual(["class do_end pivot", "class do_a done", "class do_b running"]);
    const stuck = linesOf(
      SagaDiagram.states(definition, at("compensationFailed", { a: "undoRefused", b: "undone", c: "undone", end: "failed" })),
    );
    expect(stuck.filter((line) => line.startsWith("class "))).toEqual([
      "class do_end pivot",
      "class do_a done",
      "class undo_a stuck",
      "class do_b done",
      "class undo_b undone",
      "class do_c undone",
      "class do_end failed",
    ]);
  });
});

describe("the sequence diagram of a saga", () => {
  it("shows who is asked what, and the undos in reverse", () => {
    expect(linesOf(SagaDiagram.sequence(definition)).filter((line) => line.includes("->"))).toEqual([
      ...["a", "b", "c", "end"].flatMap(() => ["at_x->>at_t: do.v1", "at_t-->>at_x: did.v1"]),
      ...["b", "a"].flatMap(() => ["at_x->>at_t: undo.v1", "at_t-->>at_x: undone.v1"]),
    ]);
  });

  it("shows of an instance what happened, and where it is stuck", () => {
    expect(linesOf(SagaDiagram.sequence(definition, at("running", { a: "sent" }))).slice(3)).toEqual([
      "at_x->>at_t: do.v1",
      "Note over at_t: a: no answer yet",
      "Note over at_x: running",
      "",
    ]);
    const stuck = SagaDiagram.sequence(definition, at("compensationFailed", { a: "undoRefused", b: "done", end: "failed" }));
    expect(linesOf(stuck)).toEqual(
      expect.arrayContaining([
        "at_t--xat_x: end failed",
        "at_t--xat_x: undo a refused",
        "Note over at_x: stuck at a, waits for a person",
        "Note over at_x: compensationFailed, no at end",
      ]),
    );
  });
});
