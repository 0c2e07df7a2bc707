import { Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Message, Saga } from "@org/saga-core";

const Ref = Schema.Struct({ id: Schema.String });
const topic = { topic: "t", key: ({ id }: { readonly id: string }) => id };
const Do = Message.command("do.v1", Ref, topic);
const Did = Message.event("did.v1", Ref, topic);
const Rang = Message.event("rang.v1", Ref, topic);

const options = { send: Do, with: (data: { readonly id: string }) => data, done: Did };
const none = { none: "it changes nothing" };
const open = Saga.make("x", { version: 1, data: Ref });
const whole = open.pipe(Saga.pivot("pay", { ...options, undo: none }));

/** What a program without types may write, and what it hears. */
const declared: ReadonlyArray<readonly [what: string, problem: string, declare: () => unknown]> = [
  // @ts-expect-error no options
  ["without anything", "say Saga.make(name, { version: 1, data: Schema })", () => Saga.make("x")],
  // @ts-expect-error no schema
  ["without data", "it needs data, the schema", () => Saga.make("x", { version: 1 })],
  // @ts-expect-error no schema
  ["with data that is no schema", "it needs data, the schema", () => Saga.make("x", { version: 1, data: { id: "string" } })],
  // @ts-expect-error text
  ["with a version that is text", "its version has to be a number", () => Saga.make("x", { version: "1", data: Ref })],
  [
    "with another policy",
    'neither "ignore" nor "deadLetter"',
    // @ts-expect-error another word
    () => Saga.make("x", { version: 1, data: Ref, unknownInstance: "drop" }),
  ],
  // @ts-expect-error no function
  ["with a hook that is none", "it needs a function as onUndone", () => Saga.make("x", { version: 1, data: Ref, onUndone: "undo" })],
  // @ts-expect-error no options
  ["with a step of a name only", '"a" needs a command to send', () => open.pipe(Saga.step("a"))],
  [
    "that sends a name",
    '"a" needs a command to send',
    // @ts-expect-error a name
    () => open.pipe(Saga.step("a", { ...options, send: { type: "do.v1" }, undo: none })),
  ],
  [
    "that sends no body",
    '"a" needs a function as with: with: (data)',
    // @ts-expect-error no function
    () => open.pipe(Saga.step("a", { ...options, with: {}, undo: none })),
  ],
  [
    "with a condition that is none",
    '"a" needs a function as when, or',
    // @ts-expect-error no function
    () => open.pipe(Saga.step("a", { ...options, undo: none, when: true })),
  ],
  [
    "that remembers by no function",
    '"a" needs a function as onDone',
    // @ts-expect-error no function
    () => open.pipe(Saga.step("a", { ...options, undo: none, onDone: 1 })),
  ],
  // @ts-expect-error a message
  ["with a failure without reason", "failed: [Saga.failedBy(", () => open.pipe(Saga.step("a", { ...options, undo: none, failed: [Rang] }))],
  [
    "with one failure, not a list",
    "failed: [Saga.failedBy(",
    // @ts-expect-error no list
    () => open.pipe(Saga.step("a", { ...options, undo: none, failed: Saga.failedBy(Rang, () => "no") })),
  ],
  // @ts-expect-error text
  ["with a reason that is text", "a function that says why", () => Saga.failedBy(Rang, "no")],
  [
    "with an undo and a reason for none",
    "say one of them, and leave out the other",
    () => open.pipe(Saga.step("a", { ...options, undo: { ...options, done: Rang, none: "it lapses" } })),
  ],
  [
    "with an undo that sends no body",
    "not whole: say undo: { send, with, done }",
    // @ts-expect-error no function
    () => open.pipe(Saga.step("a", { ...options, undo: { ...options, done: Rang, with: "all" } })),
  ],
  [
    "with a refusal of its undo that is none",
    "needs a Message.event as undo.refused",
    // @ts-expect-error a name
    () => open.pipe(Saga.step("a", { ...options, undo: { ...options, done: Rang, refused: "refused.v1" } })),
  ],
  [
    "with half a probe",
    "say probe: { send, with, unseen }",
    // @ts-expect-error half of it
    () => open.pipe(Saga.step("a", { ...options, undo: none, probe: { send: Do } })),
  ],
  [
    "that waits for it knows not what",
    "say retryOnSignal: { signal, onSignal, within }",
    // @ts-expect-error no signal
    () => open.pipe(Saga.step("a", { ...options, undo: none, retryOnSignal: { within: "1 hour" } })),
  ],
  // @ts-expect-error no options
  ["with a signal of a name only", '"a" needs the message that it waits for', () => open.pipe(Saga.signal("a"))],
  // @ts-expect-error no command
  ["with nothing for its aggregate", '"a" needs a function as command', () => open.pipe(Saga.local("a", { refused: "no" }))],
  // @ts-expect-error no reason
  ["with a local step without reason", '"a" does not say why', () => open.pipe(Saga.local("a", { command: () => ({}) }))],
  // @ts-expect-error no list
  ["side by side without a list", "needs a list of branches", () => open.pipe(Saga.parallel(Saga.step("a", { ...options, undo: none })))],
  // @ts-expect-error nothing
  ["with nothing side by side", "needs a list of branches", () => open.pipe(Saga.parallel([undefined]))],
  // @ts-expect-error nobody
  ["that nobody does", "it needs its home and who does which step", () => Saga.choreograph(whole, { home: "a" })],
  // @ts-expect-error a number
  ["that a number does", 'nobody does "pay": name the service', () => Saga.choreograph(whole, { home: "a", owners: { pay: 3 } })],
  // @ts-expect-error no definition
  ["that is none", "this is no saga: declare one with Saga.make", () => Saga.check({})],
  // @ts-expect-error no definition
  ["that is not there", "this is no saga: declare one with Saga.make", () => Saga.check(undefined)],
  ["checked within no round", "checked within rounds: 0", () => Saga.check(whole, { rounds: 0 })],
  ["checked within no number", "checked within states: NaN", () => Saga.check(whole, { states: Number.NaN })],
  // @ts-expect-error no topic, no key
  ["with a message without a topic", "message type do.v1 needs a topic and a key", () => Message.command("do.v1", Ref)],
  // @ts-expect-error no key
  ["with a message without a key", "message type do.v1 needs a topic and a key", () => Message.command("do.v1", Ref, { topic: "t" })],
  // @ts-expect-error no schema
  ["with a message without a schema", "message type do.v1 needs a schema", () => Message.event("do.v1", undefined, topic)],
];

describe("a definition of a program without types", () => {
  it.each(declared)("%s is refused with what to do: %s", (_, problem, declare) => {
    expect(declare).toThrow(problem);
  });
});
