/** Both topologies of one definition reach the same ends, in every way in which each of them may go. */
import { Result, Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Message, Saga } from "@org/saga-core";
import { explore } from "./Exploration.ts";

/** More than there are. */
const STATES_MAX = 100_000;

const of = { topic: "t", key: () => "i" };
const command = (name: string) => Message.command(`${name}.v1`, Schema.Null, of);
const event = (name: string) => Message.event(`${name}.v1`, Schema.Null, of);
const refusable = (name: string) => ({
  send: command(name),
  with: () => null,
  done: event(`${name}-done`),
  failed: [Saga.failedBy(event(`${name}-failed`), () => "no")],
  undo: { send: command(`${name}-undo`), with: () => null, done: event(`${name}-undone`) },
});

const saga = Saga.make("t", { version: 1, data: Schema.Null }).pipe(
  Saga.step("reserve", { ...refusable("reserve"), attempts: 2 }),
  Saga.pivot("pay", refusable("pay")),
  Saga.retriable("pack", { ...refusable("pack"), otherwise: "undo" }),
);
const distribution = { home: "shop", owners: { reserve: "stock", pay: "money", pack: "stock" } };

describe("a choreographed saga", () => {
  it("ends, in every way in which it may go, and where a coordinator would", { timeout: 120_000 }, () => {
    const choreographed = explore(Saga.choreograph(saga, distribution), STATES_MAX);
    const orchestrated = Result.getOrThrow(Saga.explore(saga, { rounds: 1 }));
    const ends = orchestrated.ends.map(({ status, standing }) => `${status}: ${standing.toSorted().join(" ")}`);
    expect(choreographed.stuck).toBe(0);
    expect([...choreographed.ends].toSorted()).toEqual(ends.toSorted());
    expect(ends).toHaveLength(2);
    // All of it: a state more or less is another saga, or another abstraction.
    expect(choreographed.states).toBe(38_959);
  });
});
