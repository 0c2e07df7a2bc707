import { Result } from "effect";
import { describe, expect, it } from "vitest";
import { Checkout, Saga } from "@org/saga-core";
import * as Model from "../../../../src/domain/saga/check/Model.ts";
import * as SagaCheck from "../../../../src/domain/saga/check/SagaCheck.ts";
import * as M from "./Mistakes.ts";
import { Ambiguous, Gift, Trip } from "./Trip.ts";

const bounds = { rounds: 2, states: 100_000 };

const found = (model: Model.Model): Extract<SagaCheck.Failure, { readonly _tag: "LawBroken" }> => {
  const explored = SagaCheck.exploreModel(model, bounds);
  if (Result.isSuccess(explored)) throw new Error("it was not found");
  if (explored.failure._tag === "BudgetSpent") throw new Error(SagaCheck.failureText(explored.failure));
  return explored.failure;
};

const trip = () => Model.of(Trip, bounds.rounds);
const checkout = () => Model.of(Checkout.make(), bounds.rounds);

const mistakes: ReadonlyArray<readonly [what: string, model: Model.Model]> = [
  ["an undo is forgotten", M.undoForgotten("reserve-stock")(checkout())],
  ["a timer is acknowledged before its decision is committed", M.timerAcknowledgedFirst(checkout())],
  ["messages are sent before the state that records them is committed", M.sentBeforeCommit(trip())],
  ["a participant answers before it commits", M.answeredBeforeCommit(trip())],
  ["a timeout is ignored", M.timeoutIgnored(checkout())],
  ["an undo that is asked for again has no timer", M.timerNotRenewed(trip())],
  ["a late reply is taken for the confirmation of an undo", M.lateReplyAccepted("room")(trip())],
  ["a new round begins after an unknown outcome", M.roundAfterUnknown("seat")(trip())],
  ["a start that comes again starts again", M.startedTwice(trip())],
  ["a cancel after the pivot is honoured", M.canceledAfterPivot(trip())],
  ["a tombstone is ignored", M.tombstoneIgnored(checkout())],
  ["a command that comes again is done again", M.doneAgain(checkout())],
  ["undos go forwards", M.undoneForwards(checkout())],
  ["the pivot is given up while it is unknown", M.pivotGivenUp(trip())],
  ["the pivot is given up, and not undone", M.pivotForgotten(trip())],
  ["a pivot that nobody can undo is given up", M.pivotGivenUp(Model.of(Gift, bounds.rounds))],
  ["a join does not wait for all of its branches", M.joinDoesNotWait(trip())],
  ["a refused undo counts as done", M.refusalTakenForUndo("seat")(trip())],
  ["an undo has the key of another round", M.undoUnderFirstKey(trip())],
  ["a step counts as done when it is asked for", M.doneWhenAsked("issue")(trip())],
  ["a call that has a probe is repeated blindly", M.probeIgnored(trip())],
  ["a resume is ignored", M.resumeIgnored(trip())],
  ["a definition has one message for an undo and for its refusal", Model.of(Ambiguous, bounds.rounds)],
];

describe("Saga.check", () => {
  it("finds nothing in the sagas that mistakes are planted in", () => {
    expect(Saga.check(Trip).states).toBeGreaterThan(400);
    expect(Saga.check(Checkout.make()).states).toBeGreaterThan(400);
  });

  it("draws the trace as a sequence diagram", () => {
    expect(found(M.undoUnderFirstKey(trip())).diagram).toMatchInlineSnapshot(`
      "sequenceDiagram
        participant S as trip@1
        participant P0 as seat
        Note over S: start → hold-seat.v1, hold-room.v1
        S->>P0: hold-seat.v1
        Note over P0: refused for now
        P0-->>S: no-seat.v1
        Note over S: seat is due → hold-seat.v1
        Note over S: cancel → drop-room.v1, drop-seat.v1, it is compensating
        Note over S: everything on its way is lost, and from here on nothing is
        Note over S: seat is due → drop-seat.v1
        S->>P0: drop-seat.v1
        Note over P0: refused for now
        Note over S: seat is due → drop-seat.v1
        Note over S: ✗ without faults it goes round for ever
      "
    `);
    expect(found(M.timerAcknowledgedFirst(checkout())).diagram).toMatchInlineSnapshot(`
      "sequenceDiagram
        participant S as checkout@1
        Note over S: start → payment.check-balance.v1, the aggregate agrees to start-checkout
        Note over S: check-balance is due → payment.check-balance.v1, a crash loses all but that the timer is gone
        Note over S: everything on its way is lost, and from here on nothing is
        Note over S: ✗ it is not at rest, and nothing will ever happen
      "
    `);
  });

  it("throws what a person needs: the law, the bounds, the trace and the diagram", () => {
    const thrown = () => Saga.check(Ambiguous);
    expect(thrown).toThrow('saga "trip@1" breaks a law (LeftStanding): it is compensated, and "seat" is done and not undone');
    expect(thrown).toThrow(/^\d+ states, \d+ transitions; bounds: /m);
    expect(thrown).toThrow('it is compensating\n  4. "seat" gets drop-seat.v1: it refuses\n');
    expect(thrown).toThrow("\nsequenceDiagram\n");
  });

  it.each(mistakes)("finds, by a shortest trace, that %s", (_, model) => {
    const { law, problem, trace } = found(model);
    expect([`${law}: ${problem}`, ...trace]).toMatchSnapshot();
  });
});
