/** Calls that outlast their step's time, and functions that answer with what nobody awaits. */
import { Effect, Logger, References, Schema } from "effect";
import { DirectSaga, Message, Saga, SagaStore, TimerPump } from "@org/saga-core";
import { describe, expect, it } from "vitest";
import { simulate } from "./Harness.ts";

const TIMEOUT_MS = 1_000;

const Ref = Schema.Struct({ id: Schema.String });
const topic = { topic: "room.steps", key: ({ id }: { readonly id: string }) => id };
const Book = Message.command("room.book.v1", Ref, topic);
const Booked = Message.event("room.booked.v1", Ref, topic);
const Full = Message.event("room.full.v1", Ref, topic);
const Cancel = Message.command("room.cancel.v1", Ref, topic);
const Canceled = Message.event("room.canceled.v1", Ref, topic);
const Pay = Message.command("room.pay.v1", Ref, topic);
const Paid = Message.event("room.paid.v1", Ref, topic);

const ref = ({ id }: { readonly id: string }) => ({ id });

const definition = Saga.make("room", { version: 1, data: Ref, undoRetry: { first: TIMEOUT_MS, max: TIMEOUT_MS } }).pipe(
  Saga.step("book", {
    send: Book,
    with: ref,
    done: Booked,
    failed: [Saga.failedBy(Full, () => "full")],
    undo: { send: Cancel, with: ref, done: Canceled },
    timeout: TIMEOUT_MS,
    attempts: 2,
  }),
  Saga.pivot("pay", { send: Pay, with: ref, done: Paid, undo: { none: "nothing follows it" }, timeout: TIMEOUT_MS }),
);

const booked = DirectSaga.outcome(Booked, { id: "r" });
const canceled = DirectSaga.outcome(Canceled, { id: "r" });
const paid = DirectSaga.outcome(Paid, { id: "r" });

interface Behaviour {
  /** How long the n-th call takes, in milliseconds; from 1. */
  readonly book?: (n: number) => Effect.Effect<DirectSaga.Outcome>;
  readonly cancel?: (n: number) => Effect.Effect<DirectSaga.Outcome>;
}

const after = (millis: number, outcome: DirectSaga.Outcome) => Effect.delay(Effect.succeed(outcome), millis);

/** As a program without types answers. */
const untyped = (json: string): Effect.Effect<DirectSaga.Outcome> =>
  Effect.sync(() => {
    const answer: DirectSaga.Outcome = JSON.parse(json);
    return answer;
  });

/** Runs one instance for a while, its timers as they come due: its status at first and at last, its calls, and what was logged. */
const run = (millis: number, { book = () => Effect.succeed(booked), cancel = () => Effect.succeed(canceled) }: Behaviour) => {
  const calls: Array<string> = [];
  const logged: Array<string> = [];
  const logger = Logger.make(({ message }) => void logged.push(String(message)));
  let [books, cancels] = [0, 0];
  const seen = (what: string, key: string, call: Effect.Effect<DirectSaga.Outcome>) =>
    Effect.gen(function* () {
      calls.push(`${what} ${key} begins`);
      const outcome = yield* call;
      calls.push(`${what} ends`);
      return outcome;
    });
  const program = Effect.gen(function* () {
    const saga = yield* DirectSaga.make({
      definition,
      steps: [
        DirectSaga.step(Book, (_, key) => seen("book", key, book(++books))),
        DirectSaga.step(Cancel, (_, key) => seen("cancel", key, cancel(++cancels))),
        DirectSaga.step(Pay, (_, key) => seen("pay", key, Effect.succeed(paid))),
      ],
    });
    const first = yield* saga.run("r", { id: "r" });
    for (let passed = 0; passed < millis; passed += TIMEOUT_MS / 4) {
      yield* Effect.sleep(TIMEOUT_MS / 4);
      yield* TimerPump.pumpOnce("room", saga.onTimers);
    }
    const found = yield* (yield* SagaStore).find("room", ["r"]);
    return { first, last: found.get("r")?.status };
  });
  const logs = Effect.provide(Effect.provideService(program, References.MinimumLogLevel, "Warn"), Logger.layer([logger]));
  return { ...simulate(() => logs), calls, logged };
};

describe("a call that outlasts its step's time", () => {
  it("counts when it comes, and is not made a second time meanwhile", () => {
    const { first, last, calls } = run(TIMEOUT_MS, { book: () => after(TIMEOUT_MS * 1.6, booked) });
    expect([first, last]).toEqual(["running", "completed"]);
    expect(calls).toEqual(["book r:book:1 begins", "book ends", "pay r:pay:1 begins", "pay ends"]);
  });

  it("is undone when it has ended, not before, and its late outcome changes nothing then", () => {
    const { last, calls } = run(TIMEOUT_MS * 5, { book: () => after(TIMEOUT_MS * 4, booked) });
    expect(last).toBe("compensated");
    expect(calls).toEqual(["book r:book:1 begins", "book ends", "cancel r:book:1/undo begins", "cancel ends"]);
  });

  it("is waited for by one undo, however often that is asked", () => {
    const { last, calls } = run(TIMEOUT_MS * 10, {
      book: () => after(TIMEOUT_MS * 6, booked),
      cancel: () => after(TIMEOUT_MS * 1.5, canceled),
    });
    expect(last).toBe("compensated");
    expect(calls).toEqual(["book r:book:1 begins", "book ends", "cancel r:book:1/undo begins", "cancel ends"]);
  });

  it("says that it failed for good, late: the saga turns around without an undo", () => {
    const full = DirectSaga.outcome(Full, { id: "r" });
    const { last, calls } = run(TIMEOUT_MS, { book: () => after(TIMEOUT_MS * 1.6, full) });
    expect(last).toBe("compensated");
    expect(calls).toEqual(["book r:book:1 begins", "book ends"]);
  });

  it("is interrupted when it hangs for good, and its undo is called then", () => {
    const early = run(DirectSaga.LATE_MAX_MS - TIMEOUT_MS, { book: () => Effect.never });
    expect([early.last, early.calls]).toEqual(["compensating", ["book r:book:1 begins"]]);
    const late = run(DirectSaga.LATE_MAX_MS + TIMEOUT_MS * 2, { book: () => Effect.never });
    expect(late.last).toBe("compensated");
    expect(late.calls).toEqual(["book r:book:1 begins", "cancel r:book:1/undo begins", "cancel ends"]);
  });
});

describe("a call that somebody waits for", () => {
  it("is interrupted with whoever is interrupted while it waits, and its timer asks again", () => {
    const { last, calls } = simulate(() =>
      Effect.gen(function* () {
        const calls: Array<string> = [];
        const book = (n: number) =>
          n === 1 ? Effect.onInterrupt(Effect.never, () => Effect.sync(() => calls.push("interrupted"))) : Effect.succeed(booked);
        const saga = yield* DirectSaga.make({
          definition,
          steps: [
            DirectSaga.step(Book, () => Effect.suspend(() => book(calls.push("book")))),
            DirectSaga.step(Cancel, () => Effect.succeed(canceled)),
            DirectSaga.step(Pay, () => Effect.succeed(paid)),
          ],
        });
        yield* Effect.timeoutOption(saga.run("r", { id: "r" }), TIMEOUT_MS / 2);
        const before = calls.join();
        yield* Effect.sleep(TIMEOUT_MS);
        yield* TimerPump.pumpOnce("room", saga.onTimers);
        yield* Effect.sleep(1);
        const found = yield* (yield* SagaStore).find("room", ["r"]);
        return { last: found.get("r")?.status, calls: [before, calls.join()] };
      }),
    );
    expect(calls).toEqual(["book,interrupted", "book,interrupted,book"]);
    expect(last).toBe("completed");
  });
});

describe("a call beside one whose outcome cannot be written", () => {
  const undo = { none: "nothing fails here" };
  const buggy = (): typeof Ref.Type => {
    throw new TypeError("a bug");
  };
  const sideBySide = Saga.make("room", { version: 1, data: Ref }).pipe(
    Saga.parallel([
      Saga.step("book", { send: Book, with: ref, done: Booked, onDone: buggy, undo, timeout: TIMEOUT_MS }),
      Saga.step("clear", { send: Cancel, with: ref, done: Canceled, undo, timeout: TIMEOUT_MS }),
    ]),
    Saga.pivot("pay", { send: Pay, with: ref, done: Paid, undo, timeout: TIMEOUT_MS }),
  );
  const Instance = Schema.Struct({ steps: Schema.Record(Schema.String, Schema.Struct({ status: Schema.String })) });

  it("goes on to its end, and its outcome counts", () => {
    const calls: Array<string> = [];
    const clear = Effect.gen(function* () {
      calls.push("clear begins");
      yield* Effect.sleep(TIMEOUT_MS / 2);
      calls.push("clear ends");
      return canceled;
    });
    const { failure, steps } = simulate(() =>
      Effect.gen(function* () {
        const saga = yield* DirectSaga.make({
          definition: sideBySide,
          steps: [
            DirectSaga.step(Book, () => Effect.succeed(booked)),
            DirectSaga.step(Cancel, () => clear),
            DirectSaga.step(Pay, () => Effect.succeed(paid)),
          ],
        });
        const failure = yield* Effect.flip(saga.run("r", { id: "r" }));
        const found = yield* (yield* SagaStore).find("room", ["r"]);
        return { failure, steps: Schema.decodeUnknownSync(Instance)(found.get("r")?.state).steps };
      }),
    );
    expect(failure._tag).toBe("Poisoned");
    expect(calls).toEqual(["clear begins", "clear ends"]);
    expect(steps).toMatchObject({ book: { status: "sent" }, clear: { status: "done" } });
  });
});

describe("a function that answers with what its step does not await", () => {
  it.each([
    ["another step's reply", () => Effect.succeed(paid), `answered with "room.paid.v1"`],
    ["nothing", () => untyped("null"), "answered with no outcome at all"],
    ["a text", () => untyped('"booked"'), "answered with no outcome at all"],
  ])("is named in the log, and asked again: %s", (_, wrong, said) => {
    const { last, calls, logged } = run(TIMEOUT_MS * 2, { book: (n) => (n === 1 ? wrong() : Effect.succeed(booked)) });
    expect(last).toBe("completed");
    expect(calls.filter((call) => call === "book r:book:1 begins")).toHaveLength(2);
    expect(logged).toEqual([
      `saga "room", step "book": the function of "room.book.v1" ${said}. The step awaits "room.booked.v1" or "room.full.v1": ` +
        "r:book:1 has no outcome, and its timer asks again",
    ]);
  });

  it("is named for an undo, too: the reply to its do is not awaited there", () => {
    const { last, logged } = run(TIMEOUT_MS * 6, {
      book: () => after(TIMEOUT_MS * 3, booked),
      cancel: (n) => Effect.succeed(n === 1 ? booked : canceled),
    });
    expect(last).toBe("compensated");
    expect(logged.filter((line) => line.includes("answered with"))).toEqual([
      `saga "room", step "book": the function of "room.cancel.v1" answered with "room.booked.v1". The step awaits "room.canceled.v1": ` +
        "r:book:1/undo has no outcome, and its timer asks again",
    ]);
  });
});

describe("functions that are refused when the saga is made", () => {
  const pay = DirectSaga.step(Pay, () => Effect.succeed(paid));

  it.each([
    ["two for one command", [pay, pay], 'saga "room": two functions perform "room.pay.v1": leave one of them out'],
    [
      "one for a message that it never sends",
      [DirectSaga.step(Paid, () => Effect.succeed(paid))],
      'saga "room": it never sends "room.paid.v1": leave its function out, or name the command in a step\'s send, undo or probe',
    ],
  ])("%s", (_, steps, message) => {
    expect(() => simulate(() => DirectSaga.make({ definition, steps }))).toThrow(message);
  });
});
