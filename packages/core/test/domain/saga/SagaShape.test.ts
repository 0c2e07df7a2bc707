import { Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Checkout, Message, Saga } from "@org/saga-core";

const Ref = Schema.Struct({ id: Schema.String });
const topic = { topic: "t", key: ({ id }: { readonly id: string }) => id };
const [Do, Undo] = [Message.command("do.v1", Ref, topic), Message.command("undo.v1", Ref, topic)];
const [Did, Undone, Again] = [
  Message.event("did.v1", Ref, topic),
  Message.event("undone.v1", Ref, topic),
  Message.event("did.v2", Ref, topic),
];

const Data = Schema.Struct({ id: Schema.String, n: Schema.Int });
const options = { send: Do, with: ({ id }: { readonly id: string }) => ({ id }), done: Did, undo: { none: "no" } };
const open = Saga.make("x", { version: 1, data: Data });
const usual = open.pipe(Saga.step("a", options), Saga.pivot("b", options));

describe("a definition's fingerprint", () => {
  it("is the same in every process and on every day", () => {
    expect(Saga.fingerprint(usual)).toBe("1459ae62ef25cca4");
    expect(Saga.fingerprint(Checkout.make())).toBe("71c5bbd09df28328");
  });

  it.each<readonly [string, Saga.Definition<typeof Data.Type, never>]>([
    ["times", open.pipe(Saga.step("a", { ...options, timeout: 5, attempts: 9 }), Saga.pivot("b", { ...options, timeout: 7 }))],
    [
      "functions and texts",
      open.pipe(Saga.step("a", { ...options, with: () => ({ id: "y" }), undo: { none: "why" } }), Saga.pivot("b", options)),
    ],
    [
      "the order of fields",
      Saga.make("x", { version: 2, data: Schema.Struct({ n: Schema.Int, id: Schema.String }) }).pipe(
        Saga.step("a", options),
        Saga.pivot("b", options),
      ),
    ],
  ])("does not depend on %s", (_, definition) => {
    expect(Saga.fingerprint(definition)).toBe(Saga.fingerprint(usual));
  });

  it.each<readonly [string, string]>([
    ["a step's name", Saga.fingerprint(open.pipe(Saga.step("c", options), Saga.pivot("b", options)))],
    ["an inserted step", Saga.fingerprint(open.pipe(Saga.step("a", options), Saga.step("c", options), Saga.pivot("b", options)))],
    ["another place of the pivot", Saga.fingerprint(open.pipe(Saga.pivot("a", options), Saga.retriable("b", options)))],
    ["a reply's version", Saga.fingerprint(open.pipe(Saga.step("a", { ...options, done: Again }), Saga.pivot("b", options)))],
    [
      "an undo",
      Saga.fingerprint(
        open.pipe(Saga.step("a", { ...options, undo: { send: Undo, with: options.with, done: Undone } }), Saga.pivot("b", options)),
      ),
    ],
    ["a condition", Saga.fingerprint(open.pipe(Saga.step("a", { ...options, when: () => true }), Saga.pivot("b", options)))],
    [
      "what is remembered",
      Saga.fingerprint(Saga.make("x", { version: 1, data: Ref }).pipe(Saga.step("a", options), Saga.pivot("b", options))),
    ],
    [
      "what runs side by side",
      Saga.fingerprint(open.pipe(Saga.parallel([Saga.step("a", options), Saga.step("c", options)]), Saga.pivot("b", options))),
    ],
  ])("tells %s", (_, other) => {
    expect(other).not.toBe(Saga.fingerprint(usual));
  });
});
