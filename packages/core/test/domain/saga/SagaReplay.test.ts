import { readFileSync } from "node:fs";
import { Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Checkout, Message, Saga, SagaReplay } from "@org/saga-core";

/** Recorded by the release in which histories could first be recorded. Never written anew: a later release still has to read it. */
const golden = (): ReadonlyArray<SagaReplay.History> =>
  Schema.decodeUnknownSync(Schema.Array(Schema.Unknown))(
    JSON.parse(readFileSync(new URL("golden/checkout-histories.json", import.meta.url), "utf8")),
  ).map((history) => SagaReplay.decode(history));

const Ref = Schema.Struct({ id: Schema.String });
const topic = { topic: "t", key: ({ id }: { readonly id: string }) => id };
const [Do, Did, Other] = [
  Message.command("do.v1", Ref, topic),
  Message.event("did.v1", Ref, topic),
  Message.command("other.v1", Ref, topic),
];
const step = { send: Do, with: (data: typeof Ref.Type) => data, done: Did, undo: { none: "it changes nothing" } };
const saga = (version: number) => Saga.make("x", { version, data: Ref });
const first = saga(1).pipe(Saga.step("a", step), Saga.pivot("b", step));

const did = (name: string, now: number): SagaReplay.Happened => ({
  _tag: "Reply",
  type: "did.v1",
  stepKey: `i:${name}:1`,
  body: { id: "i" },
  now,
});
const happened: ReadonlyArray<SagaReplay.Happened> = [{ _tag: "Start", id: "i", data: { id: "i" }, now: 0 }, did("a", 1), did("b", 2)];

describe("a recorded history", () => {
  it("of every way a checkout ends is decided the same by today's definition", () => {
    const histories = golden();
    expect(histories.map(({ name }) => name)).toEqual(["finished", "out of stock", "canceled", "fulfillment failed", "release refused"]);
    expect(SagaReplay.replay(Checkout.make(), histories)).toEqual([]);
  });

  it("says what was seen after each thing that happened, and is JSON", () => {
    const history = SagaReplay.record(first, "done", happened);
    expect(history.entries.map(({ status, steps }) => [status, steps])).toEqual([
      ["running", { a: "sent 1" }],
      ["running", { a: "done 1", b: "sent 1" }],
      ["completed", { a: "done 1", b: "done 1" }],
    ]);
    expect(history.entries[1]?.sends).toEqual([{ type: "do.v1", stepKey: "i:b:1", body: { id: "i" } }]);
    expect(SagaReplay.decode(JSON.parse(JSON.stringify(history)))).toEqual(history);
  });

  it("is refused with what to do if it is none, or another saga's", () => {
    const history = SagaReplay.record(first, "done", happened);
    for (const garbage of [undefined, null, {}, [], "x", { ...history, entries: [{}] }]) {
      expect(() => SagaReplay.decode(garbage)).toThrow("this is no recorded history");
      // @ts-expect-error no history
      expect(() => SagaReplay.replay(first, [garbage])).toThrow('saga "x": what is replayed is no history: read it with SagaReplay.decode');
    }
    // @ts-expect-error no list
    expect(() => SagaReplay.record(first, "none", undefined)).toThrow('the history "none" cannot be run: what happened is no list');
    // @ts-expect-error nothing happened
    expect(() => SagaReplay.record(first, "odd", [happened[0], {}])).toThrow("entry 1 says nothing that may happen");
    expect(() => SagaReplay.record(first, "late", [{ _tag: "Start", id: "i", data: { name: 1 }, now: 0 }])).toThrow(
      '"i" starts with data that this definition does not read',
    );
    expect(() => SagaReplay.replay(first, [{ ...history, saga: "y" }])).toThrow('the history "done" is of the saga "y"');
  });

  it("is decided the same by a version with other times and another number", () => {
    const history = SagaReplay.record(first, "done", happened);
    const patient = saga(2).pipe(Saga.step("a", { ...step, timeout: "1 hour" }), Saga.pivot("b", step));
    expect(SagaReplay.replay(patient, [history])).toEqual([]);
  });

  it.each<readonly [string, Saga.Definition<typeof Ref.Type, never>, number, string]>([
    ["a renamed step", saga(1).pipe(Saga.step("c", step), Saga.pivot("b", step)), 0, 'step "a": was sent 1, is not begun'],
    [
      "an inserted step",
      saga(1).pipe(Saga.step("a", step), Saga.step("c", step), Saga.pivot("b", step)),
      1,
      'step "b": was sent 1, is not begun',
    ],
    ["a removed step", saga(1).pipe(Saga.pivot("b", step)), 0, 'step "a": was sent 1, is not begun'],
    ["another command", saga(1).pipe(Saga.step("a", step), Saga.pivot("b", { ...step, send: Other })), 1, 'sends: was [{"body"'],
    ["another body", saga(1).pipe(Saga.step("a", { ...step, with: () => ({ id: "j" }) }), Saga.pivot("b", step)), 0, 'sends: was [{"body"'],
    [
      "a reply that is not awaited any more",
      saga(1).pipe(Saga.step("a", { ...step, done: Message.event("did.v2", Ref, topic) }), Saga.pivot("b", step)),
      1,
      'step "a": was done 1, is sent 1',
    ],
  ])("tells %s, and where it shows first", (_, changed, entry, line) => {
    const [difference] = SagaReplay.replay(changed, [SagaReplay.record(first, "done", happened)]);
    expect(difference).toMatchObject({ history: "done", entry });
    expect(difference?.differences.join("\n")).toContain(line);
  });
});
