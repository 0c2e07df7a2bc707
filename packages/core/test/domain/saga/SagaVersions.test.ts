import { Result, Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Message, Saga, SagaDifference, SagaVersions } from "@org/saga-core";

const Ref = Schema.Struct({ id: Schema.String });
const More = Schema.Struct({ id: Schema.String, seats: Schema.Int });
const topic = { topic: "t", key: ({ id }: { readonly id: string }) => id };
const asks = (name: string) => Message.command(`${name}.v1`, Ref, topic);
const says = (name: string) => Message.event(`${name}.v1`, Ref, topic);
const id = ({ id: own }: { readonly id: string }) => ({ id: own });
const step = { send: asks("do"), with: id, done: says("did"), undo: { none: "it changes nothing" } };
const undoable = { ...step, undo: { send: asks("undo"), with: id, done: says("undone") } };

const v1 = Saga.make("x", { version: 1, data: Ref }).pipe(Saga.step("a", undoable), Saga.step("b", step), Saga.pivot("c", step));
const v2 = Saga.make("x", { version: 2, data: More }).pipe(Saga.step("a", undoable), Saga.step("b", step), Saga.pivot("c", step));
const v3 = Saga.make("x", { version: 3, data: More }).pipe(Saga.step("a", undoable), Saga.pivot("c", step));

const stored = (status: string, steps: Record<string, string>, version = 1) => ({
  saga: "x",
  version,
  id: "i",
  status,
  data: { id: "i" },
  steps: Object.fromEntries(Object.entries(steps).map(([name, each]) => [name, { status: each, round: 1, attempts: 1 }])),
  failure: null,
  startedAt: 0,
  wakeAt: null,
  wakes: 0,
});

const seats = { data: ({ id: own }: typeof Ref.Type) => Result.succeed({ id: own, seats: 1 }) };
const statusesOf = (pinned: SagaVersions.Pinned<never> | null) =>
  pinned === null
    ? null
    : [pinned.instance.version, ...Object.entries(pinned.instance.steps).map(([name, { status }]) => `${name} ${status}`)];

/** An instance of `v1`, as the versions would go on with it. */
const loaded = <D>(to: Saga.Definition<D, never>, older: SagaVersions.Older<never>, status: string, steps: Record<string, string>) =>
  statusesOf(SagaVersions.load(SagaVersions.make(to, [older]), 1, stored(status, steps)));

describe("versions of a saga", () => {
  it("refuse what is no list of versions of one saga, with what to do", () => {
    const other = Saga.make("y", { version: 1, data: Ref }).pipe(Saga.pivot("c", step));
    expect(() => SagaVersions.make(v2, [SagaVersions.keep(other)])).toThrow("y@1 is no version of x");
    expect(() => SagaVersions.make(v1, [SagaVersions.keep(v1)])).toThrow("x@1 is listed twice");
    expect(() => SagaVersions.make(v1, [SagaVersions.keep(v2)])).toThrow("x@2 is not older than x@1: put the newest first");
    expect(() => SagaVersions.migrate(v1, v2, { ...seats, renamed: { z: "a" } })).toThrow('renames "z", which is no step');
    expect(() => SagaVersions.migrate(v1, v2, { ...seats, renamed: { a: "z" } })).toThrow('renames "a" to "z", which is no step');
    expect(() => SagaVersions.migrate(v2, v1, { data: (data) => Result.succeed(data) })).toThrow("to a later one");
  });

  it("refuse a migration to what is not among them", () => {
    const over = SagaVersions.migrate(v1, v2, seats);
    expect(() => SagaVersions.make(v3, [over])).toThrow("x@1 is migrated to x@2, which is not listed: list it");
    expect(() => SagaVersions.make({ ...v3, version: 2 }, [over])).toThrow("another definition is listed as that version");
    expect(() => SagaVersions.migrate(v1, { ...v2, name: "y" }, seats)).toThrow("x is not y");
  });

  it("refuse to rename a step where it would be mistaken for another one", () => {
    const p1 = Saga.make("x", { version: 1, data: Ref }).pipe(Saga.step("book", step), Saga.pivot("pay", step));
    const p2 = Saga.make("x", { version: 2, data: More }).pipe(Saga.step("room", step), Saga.step("book", step), Saga.pivot("take", step));
    const renaming = (to: typeof p2, renamed: Record<string, string>) => () => SagaVersions.migrate(p1, to, { ...seats, renamed });
    const paid = Saga.make("x", { version: 2, data: More }).pipe(Saga.step("seat", step), Saga.pivot("pay", step));
    expect(renaming(paid, { book: "pay" })).toThrow('renames "book" to "pay", which was a step before: give it a new name');
    expect(renaming(p2, { book: "room" })).toThrow('renames "book", which still is a step');
    expect(renaming(paid, { book: "seat", pay: "seat" })).toThrow('renames "pay", which still is a step');
    const taken = Saga.make("x", { version: 2, data: More }).pipe(Saga.pivot("take", step));
    expect(renaming(taken, { book: "take" })).toThrow(
      'renames "book" (compensatable Remote) to "take" (pivot Remote): a renamed step keeps its kind',
    );
    const two = Saga.make("x", { version: 1, data: Ref }).pipe(Saga.step("a", step), Saga.step("b", step), Saga.pivot("c", step));
    const one = Saga.make("x", { version: 2, data: More }).pipe(Saga.step("z", step), Saga.pivot("c", step));
    expect(() => SagaVersions.migrate(two, one, { ...seats, renamed: { a: "z", b: "z" } })).toThrow('renames two steps to "z"');
    expect(renaming(p2, { pay: "take" })).not.toThrow();
  });

  it("read nothing of a version that is not among them", () => {
    expect(SagaVersions.load(SagaVersions.make(v2), 1, stored("running", {}))).toBeNull();
  });

  it("start in the newest, and decide about each instance by its own", () => {
    const versions = SagaVersions.make(v2, [SagaVersions.keep(v1)]);
    const [begun, send] = versions.start({ _tag: "Start", id: "n", data: { id: "n", seats: 2 }, now: 0 });
    expect(send.map((each) => (each._tag === "Message" ? each.draft.saga : each._tag))).toEqual(["x@2", "Schedule"]);
    expect(SagaVersions.load(versions, 2, begun.encode())?.encode()).toEqual(begun.encode());
    const old = SagaVersions.load(versions, 1, stored("compensationFailed", { a: "undoRefused" }));
    const [, again] = old?.move({ _tag: "Resume", now: 5 }) ?? [null, []];
    expect(again.map((each) => (each._tag === "Message" ? [each.draft.type, each.draft.saga] : each._tag))).toEqual([
      ["undo.v1", "x@1"],
      "Schedule",
    ]);
    expect(old?.move({ _tag: "Cancel", by: "user", now: 5 })[0]).toBe(old);
  });

  it("move an instance through one migration after the other, with what it remembers", () => {
    const through = SagaVersions.make(v3, [
      SagaVersions.migrate(v1, v2, seats),
      SagaVersions.migrate(v2, v3, { data: (data) => Result.succeed({ ...data, seats: data.seats + 1 }) }),
    ]);
    const pinned = SagaVersions.load(through, 1, stored("running", { a: "sent" }));
    expect([statusesOf(pinned), pinned?.instance.data]).toEqual([[3, "a sent"], { id: "i", seats: 2 }]);
    // Of the second one it cannot go on: it stays there.
    expect(statusesOf(SagaVersions.load(through, 1, stored("running", { a: "done", b: "sent" })))).toEqual([2, "a done", "b sent"]);
  });
});

describe("a migration", () => {
  it("leaves an instance in its version that is not running, or that it refuses, and says why", () => {
    const refusing = SagaVersions.migrate(v1, v2, { data: () => Result.fail("nobody knows how many seats") });
    expect(refusing.load(stored("running", {}))).toMatchObject({
      stays: "nobody knows how many seats",
      pinned: { instance: { version: 1 } },
    });
    for (const status of ["compensating", "compensationFailed", "completed", "compensated"])
      expect(SagaVersions.migrate(v1, v2, seats).load(stored(status, {})).stays).toBe(`it is ${status}`);
  });

  const to = (...parts: ReadonlyArray<Saga.Part<typeof More.Type, never, "open">>) => {
    const open = Saga.make("x", { version: 2, data: More });
    return parts.reduce((draft, part) => part(draft), open).pipe(Saga.pivot("c", step));
  };
  const a = Saga.step<typeof More.Type, never, typeof Ref.Type, typeof Ref.Type, typeof Ref.Type>("a", undoable);
  const b = Saga.step<typeof More.Type, never, typeof Ref.Type, typeof Ref.Type>("b", step);
  const stays = (next: Saga.Definition<typeof More.Type, never>, steps: Record<string, string>, renamed: Record<string, string> = {}) =>
    SagaVersions.migrate(v1, next, { ...seats, renamed }).load(stored("running", steps)).stays;

  it("leaves an instance in its version of which something would be lost or done twice, and says what", () => {
    const other = Saga.step<typeof More.Type, never, typeof Ref.Type, typeof Ref.Type>("b", { ...step, done: says("did-so") });
    const a2 = Saga.step<typeof More.Type, never, typeof Ref.Type, typeof Ref.Type, typeof Ref.Type>("a2", undoable);
    const b2 = Saga.step<typeof More.Type, never, typeof Ref.Type, typeof Ref.Type, typeof Ref.Type>("b2", undoable);
    expect(stays(to(b), { a: "done" })).toBe('"a" was begun, and is no step any more');
    expect(stays(to(a, other), { a: "done", b: "sent" })).toBe('"b" was begun, and done is did-so.v1, not did.v1');
    expect(stays(to(a2, b), { a: "done" }, { a: "a2" })).toBe('"a" was begun, and is called "a2" now: its key would be another one');
    expect(stays(to(a, b2), { a: "done", b: "done" }, { b: "b2" })).toBe('"b" is done, and its undo would have another key');
    const late = Saga.make("x", { version: 2, data: More }).pipe(Saga.step("a", undoable), Saga.pivot("b", step));
    expect(stays(late, { a: "done", b: "skipped" })).toBe('"b" is skipped, and it is pivot Remote, not compensatable Remote');
    expect(stays(to(b, a), { a: "sent" })).toBe('"b" comes in front of a step that was begun');
  });

  it("takes an instance along of which nothing is lost", () => {
    const next = to(a);
    const over = SagaVersions.migrate(v1, next, seats);
    expect(loaded(next, over, "running", { a: "done", b: "done", c: "sent" })).toEqual([2, "a done", "c sent"]);
    expect(loaded(next, over, "running", { a: "failed", b: "skipped" })).toEqual([2, "a failed"]);
    const new0 = Saga.step<typeof More.Type, never, typeof Ref.Type, typeof Ref.Type>("new", step);
    const inserted = to(a, new0, b);
    const insert = SagaVersions.migrate(v1, inserted, seats);
    expect(loaded(inserted, insert, "running", { a: "done", b: "sent" })).toEqual([2, "a done", "b sent", "new skipped"]);
    expect(loaded(inserted, insert, "running", { a: "sent" })).toEqual([2, "a sent"]);
  });
});

describe("a difference of shapes", () => {
  it("is told by names; equal shapes have none", () => {
    expect(SagaDifference.of(Saga.shapeOf(v2), Saga.shapeOf(v2))).toEqual([]);
    expect(SagaDifference.of(Saga.shapeOf(v1), Saga.shapeOf(v3))).toEqual([
      "what an instance remembers has another shape",
      'step "b" is gone',
      'step "c": it comes after a, not b',
    ]);
  });
});
