/** Both topologies of one definition reach the same ends, in every way in which each of them may go. */
import { Result, Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Message, Saga } from "@org/saga-core";
import { explore } from "./Exploration.ts";

/** More than there are. */
const STATES_MAX = 150_000;

/** For a busy machine: the largest takes a few seconds. */
const TIMEOUT_MS = 240_000;

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

const open = Saga.make("t", { version: 1, data: Schema.Null });
const row = open.pipe(
  Saga.step("reserve", { ...refusable("reserve"), attempts: 2 }),
  Saga.pivot("pay", refusable("pay")),
  Saga.retriable("pack", { ...refusable("pack"), otherwise: "undo" }),
);
const sideBySide = open.pipe(
  Saga.parallel([Saga.step("flight", refusable("flight")), Saga.step("hotel", refusable("hotel"))]),
  Saga.pivot("pay", refusable("pay")),
);
const ticketed = sideBySide.pipe(Saga.retriable("ticket", { ...refusable("ticket"), otherwise: "undo" }));

interface Small {
  readonly saga: typeof row;
  readonly distribution: Saga.Distribution;
  /** All of it: a state more or less is another saga, or another abstraction. */
  readonly states: number;
}

describe("a choreographed saga ends, in every way in which it may go, and where a coordinator would", () => {
  it.each<readonly [string, Small]>([
    [
      "steps in a row",
      { saga: row, distribution: { home: "shop", owners: { reserve: "stock", pay: "money", pack: "stock" } }, states: 66_787 },
    ],
    [
      "steps side by side in one service, and one that fails after the payment",
      {
        saga: ticketed,
        distribution: { home: "trip", owners: { flight: "air", hotel: "air", pay: "trip", ticket: "air" } },
        states: 31_772,
      },
    ],
    [
      "steps side by side, each in a service of its own",
      { saga: sideBySide, distribution: { home: "trip", owners: { flight: "air", hotel: "inn", pay: "trip" } }, states: 125_831 },
    ],
  ])("%s", { timeout: TIMEOUT_MS }, (_, { saga, distribution, states }) => {
    const choreographed = explore(Saga.choreograph(saga, distribution), STATES_MAX);
    const orchestrated = Result.getOrThrow(Saga.explore(saga, { rounds: 1 }));
    const ends = orchestrated.ends.map(({ status, standing }) => `${status}: ${standing.toSorted().join(" ")}`);
    expect(choreographed.stuck).toBe(0);
    expect([...choreographed.ends].toSorted()).toEqual(ends.toSorted());
    expect(ends).toHaveLength(2);
    expect(choreographed.states).toBe(states);
  });
});
