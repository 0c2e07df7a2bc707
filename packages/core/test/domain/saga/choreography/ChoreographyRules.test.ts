import { Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Checkout, Message, Saga } from "@org/saga-core";

const Ref = Schema.Struct({ id: Schema.String });
const on = (topic: string) => ({ topic, key: ({ id }: { readonly id: string }) => id });
const command = (name: string) => Message.command(`${name}.v1`, Ref, on("t.commands"));
const event = (name: string) => Message.event(`${name}.v1`, Ref, on("t.events"));
const ref = ({ id }: { readonly id: string }) => ({ id });
const pivot = { send: command("pay"), with: ref, done: event("paid"), undo: { none: "nothing follows it" } } as const;
const open = () => Saga.make("t", { version: 1, data: Ref });

describe("a saga cannot be choreographed, and hears what to do,", () => {
  const { owners } = Checkout.distribution;
  it.each([
    ["with a step that nobody does", { ...owners, fulfill: "" }, 'nobody does "fulfill": name the service'],
    ["with an owner of a step that is not there", { ...owners, pack: "inventory" }, 'no step "pack" to be owned by "inventory"'],
    ["with a local step away from home", { ...owners, finish: "payment" }, 'the aggregate, which is at home in "order": leave it out'],
  ] as const)("%s", (_, distributed, problem) => {
    expect(() => Saga.choreograph(Checkout.make(), { home: "order", owners: distributed })).toThrow(problem);
  });

  it("if another round waits for a signal, which only its owner would hear of", () => {
    const retryOnSignal = { signal: event("card"), onSignal: (data: { readonly id: string }) => data, within: "1 hour" } as const;
    const saga = open().pipe(Saga.pivot("pay", { ...pivot, failed: [Saga.failedBy(event("declined"), () => "declined")], retryOnSignal }));
    expect(() => Saga.choreograph(saga, { home: "a", owners: { pay: "b" } })).toThrow('"pay" waits for "card.v1" after a failure');
  });

  it("if a signal is a command, which has one reader", () => {
    const approval = { on: command("approve"), timeout: "1 hour", otherwise: "undo" } as const;
    const saga = open().pipe(Saga.signal("approve", approval), Saga.pivot("pay", pivot));
    expect(() => Saga.choreograph(saga, { home: "a", owners: { approve: "a", pay: "b" } })).toThrow("declare it with Message.event");
  });

  it("and a service that owns nothing has no part in it", () => {
    const saga: Saga.Choreography<{ readonly id: string }, never> = Saga.choreograph(open().pipe(Saga.pivot("pay", pivot)), {
      home: "a",
      owners: { pay: "b" },
    });
    expect(() => saga.of("c")).toThrow('"c" owns nothing of it');
  });
});
