import { Effect, Fiber, Schema, type Scope } from "effect";
import { type CommandHandler, DirectSaga, Message, Saga, SagaStore, TimerPump, Timers } from "@org/saga-core";
import { describe, expect, it } from "vitest";
import { simulate, type Ports } from "./Harness.ts";

const TIMEOUT_MS = 1_000;

const Ref = Schema.Struct({ id: Schema.String });
const topic = { topic: "trip.steps", key: ({ id }: { readonly id: string }) => id };
const BookFlight = Message.command("trip.book-flight.v1", Ref, topic);
const FlightBooked = Message.event("trip.flight-booked.v1", Schema.Struct({ id: Schema.String, seat: Schema.Int }), topic);
const CancelFlight = Message.command("trip.cancel-flight.v1", Ref, topic);
const FlightCanceled = Message.event("trip.flight-canceled.v1", Ref, topic);
const Pay = Message.command("trip.pay.v1", Ref, topic);
const Paid = Message.event("trip.paid.v1", Ref, topic);
const PaymentRefused = Message.event("trip.payment-refused.v1", Ref, topic);

const Trip = Schema.Struct({ id: Schema.String, seat: Schema.NullOr(Schema.Int) });
type Trip = typeof Trip.Type;

const ref = ({ id }: Trip) => ({ id });

const definition = Saga.make("trip", { version: 1, data: Trip, undoRetry: { first: TIMEOUT_MS, max: TIMEOUT_MS } }).pipe(
  Saga.step("book-flight", {
    send: BookFlight,
    with: ref,
    done: FlightBooked,
    onDone: (trip, { seat }) => ({ ...trip, seat }),
    undo: { send: CancelFlight, with: ref, done: FlightCanceled },
    timeout: TIMEOUT_MS,
  }),
  Saga.pivot("pay", {
    send: Pay,
    with: ref,
    done: Paid,
    failed: [Saga.failedBy(PaymentRefused, () => "refused")],
    undo: { none: "nothing follows it" },
    timeout: TIMEOUT_MS,
  }),
);

/** What was called, in order, by step key and with the statuses that were committed then. */
type Log = Array<{ readonly type: string; readonly key: string; readonly committed: unknown }>;

interface Behaviour {
  /** How long the flight takes to be booked, in milliseconds. */
  readonly bookMillis?: number;
  /** The n-th call of a command, from 1: an outcome, or none. */
  readonly pay?: (n: number) => Effect.Effect<DirectSaga.Outcome, string>;
}

type Services = CommandHandler.Ports | SagaStore | Scope.Scope;

const make = (
  log: Log,
  { pay = () => Effect.succeed(DirectSaga.outcome(Paid, { id: "t" })), bookMillis = 0 }: Behaviour = {},
): Effect.Effect<DirectSaga.DirectSaga<Trip>, never, Services> => {
  const seen = (type: string, key: string) =>
    Effect.gen(function* () {
      const found = yield* (yield* SagaStore).find("trip", ["t"]);
      log.push({ type, key, committed: statuses(found.get("t")?.state) });
    }).pipe(Effect.orDie);
  let payments = 0;
  return DirectSaga.make({
    definition,
    steps: [
      DirectSaga.step(BookFlight, ({ id }, key) =>
        seen("book", key).pipe(Effect.andThen(Effect.sleep(bookMillis)), Effect.as(DirectSaga.outcome(FlightBooked, { id, seat: 7 }))),
      ),
      DirectSaga.step(CancelFlight, ({ id }, key) => Effect.as(seen("cancel", key), DirectSaga.outcome(FlightCanceled, { id }))),
      DirectSaga.step(Pay, (_, key) =>
        Effect.andThen(
          seen("pay", key),
          Effect.suspend(() => pay(++payments)),
        ),
      ),
    ],
  });
};

const Instance = Schema.Struct({
  status: Schema.String,
  data: Trip,
  steps: Schema.Record(Schema.String, Schema.Struct({ status: Schema.String })),
});
const decode = Schema.decodeUnknownSync(Instance);

const statuses = (state: unknown): Record<string, string> =>
  Object.fromEntries(Object.entries(decode(state).steps).map(([name, { status }]) => [name, status]));

const stored = Effect.gen(function* () {
  const found = yield* (yield* SagaStore).find("trip", ["t"]);
  return decode(found.get("t")?.state);
});

const timers = Effect.flatMap(Timers, (service) => service.list("trip", "t"));

/** Lets the timeout of a step pass and hands what is due to the saga; ends when what it asked for has settled. */
const passTimeout = (saga: DirectSaga.DirectSaga<Trip>) =>
  Effect.gen(function* () {
    yield* Effect.sleep(TIMEOUT_MS + 1);
    yield* TimerPump.pumpOnce("trip", saga.onTimers);
    yield* Effect.sleep(1);
  });

const TRIP: Trip = { id: "t", seat: null };

const run = <A>(program: (log: Log) => Effect.Effect<A, unknown, Ports | Scope.Scope>): { readonly value: A; readonly log: Log } => {
  const log: Log = [];
  return { value: simulate(() => program(log)), log };
};

describe("DirectSaga", () => {
  it("calls each step once, after the commit that asks for it and after the outcome of the one before is stored", () => {
    const { value, log } = run((calls) =>
      Effect.gen(function* () {
        const saga = yield* make(calls);
        const status = yield* saga.run("t", TRIP);
        return { status, instance: yield* stored, timers: yield* timers };
      }),
    );
    expect(value.status).toBe("completed");
    expect(value.instance).toMatchObject({ status: "completed", data: { id: "t", seat: 7 } });
    expect(value.timers).toEqual([]);
    expect(log).toEqual([
      { type: "book", key: "t:book-flight:1", committed: { "book-flight": "sent" } },
      { type: "pay", key: "t:pay:1", committed: { "book-flight": "done", pay: "sent" } },
    ]);
  });

  it("undoes what was done when a step fails for good", () => {
    const { value, log } = run((calls) =>
      Effect.gen(function* () {
        const saga = yield* make(calls, { pay: () => Effect.succeed(DirectSaga.outcome(PaymentRefused, { id: "t" })) });
        return yield* saga.run("t", TRIP);
      }),
    );
    expect(value).toBe("compensated");
    expect(log.map(({ type, key }) => `${type} ${key}`)).toEqual(["book t:book-flight:1", "pay t:pay:1", "cancel t:book-flight:1/undo"]);
  });

  it.each([
    ["fails", () => Effect.fail("no connection")],
    ["dies", () => Effect.die(new Error("a bug"))],
  ])("asks a step again under the same key, by its timer, when its function %s", (_, first) => {
    const { value, log } = run((calls) =>
      Effect.gen(function* () {
        const pay = (n: number) => (n === 1 ? first() : Effect.succeed(DirectSaga.outcome(Paid, { id: "t" })));
        const saga = yield* make(calls, { pay });
        const status = yield* saga.run("t", TRIP);
        yield* passTimeout(saga);
        return { status, instance: yield* stored, timers: yield* timers };
      }),
    );
    expect(value.status).toBe("running");
    expect(value.instance.status).toBe("completed");
    expect(value.timers).toEqual([]);
    expect(log.map(({ type, key }) => `${type} ${key}`)).toEqual(["book t:book-flight:1", "pay t:pay:1", "pay t:pay:1"]);
  });

  it("goes on in another process when the one that had started it is gone", () => {
    const { value, log } = run((calls) =>
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const gone = yield* make(calls, { pay: () => Effect.never });
            yield* Effect.forkScoped(gone.run("t", TRIP));
            yield* Effect.sleep(1);
          }),
        );
        const before = yield* stored;
        const saga = yield* make(calls);
        yield* passTimeout(saga);
        return { before, after: yield* stored };
      }),
    );
    expect(value.before).toMatchObject({ status: "running", steps: { pay: { status: "sent" } } });
    expect(value.after.status).toBe("completed");
    expect(log.filter(({ type }) => type === "book")).toHaveLength(1);
  });

  it("answers that an instance is under way when its own scope ends in the middle of a call", () => {
    const { value } = run((calls) =>
      Effect.gen(function* () {
        const running = yield* Effect.scoped(
          Effect.gen(function* () {
            const gone = yield* make(calls, { pay: () => Effect.never });
            const fiber = yield* Effect.forkDetach(gone.run("t", TRIP));
            yield* Effect.sleep(1);
            return fiber;
          }),
        );
        return yield* Fiber.join(running);
      }),
    );
    expect(value).toBe("running");
  });

  it("leaves an instance alone that is started again, and ignores an outcome that comes again", () => {
    const { value, log } = run((calls) =>
      Effect.gen(function* () {
        const saga = yield* make(calls);
        yield* saga.run("t", TRIP);
        const again = yield* saga.run("t", { id: "t", seat: 1 });
        const exits = yield* saga.handle([late]);
        return { again, exits, instance: yield* stored };
      }),
    );
    expect(value.again).toBe("completed");
    expect(value.exits.map(({ _tag }) => _tag)).toEqual(["Success"]);
    expect(value.instance).toMatchObject({ status: "completed", data: { seat: 7 } });
    expect(log).toHaveLength(2);
  });

  it("decides upon what is there, not upon what this process wrote last", () => {
    const { value, log } = run((calls) =>
      Effect.gen(function* () {
        const slow = yield* make(calls, { bookMillis: TIMEOUT_MS / 2 });
        const running = yield* Effect.forkScoped(slow.run("t", TRIP));
        yield* Effect.sleep(1);
        // The answer comes another way, and another process goes on with it.
        const other = yield* make(calls);
        yield* other.handle([late]);
        yield* Effect.sleep(1);
        const before = yield* stored;
        return { before, status: yield* Fiber.join(running), after: yield* stored };
      }),
    );
    expect(value.before).toMatchObject({ status: "completed", data: { seat: 99 } });
    expect(value.status).toBe("completed");
    expect(value.after).toEqual(value.before);
    expect(log.map(({ type }) => type)).toEqual(["book", "pay"]);
  });

  it("leaves a message alone whose instance is not there, or refuses it, as the definition says", () => {
    for (const [unknownInstance, exit] of [
      ["ignore", "Success"],
      ["deadLetter", "Failure"],
    ] as const) {
      const { value } = run(() =>
        Effect.flatMap(DirectSaga.make({ definition: { ...definition, unknownInstance }, steps: [] }), (saga) => saga.handle([late])),
      );
      expect(value.map(({ _tag }) => _tag)).toEqual([exit]);
    }
  });

  it("calls the functions of parallel steps side by side, and joins them", () => {
    const { value, log } = run((calls) =>
      Effect.gen(function* () {
        const begun = (type: string, millis: number, outcome: DirectSaga.Outcome) =>
          Effect.gen(function* () {
            calls.push({ type, key: "begun", committed: null });
            yield* Effect.sleep(millis);
            calls.push({ type, key: "ended", committed: null });
            return outcome;
          });
        const saga = yield* DirectSaga.make({
          definition: sideBySide,
          steps: [
            DirectSaga.step(BookFlight, ({ id }) => begun("flight", 20, DirectSaga.outcome(FlightBooked, { id, seat: 7 }))),
            DirectSaga.step(CancelFlight, ({ id }) => begun("room", 10, DirectSaga.outcome(FlightCanceled, { id }))),
            DirectSaga.step(Pay, ({ id }) => begun("pay", 1, DirectSaga.outcome(Paid, { id }))),
          ],
        });
        const status = yield* saga.run("t", TRIP);
        return { status, instance: yield* stored, timers: yield* timers };
      }),
    );
    expect(value.status).toBe("completed");
    expect(value.instance).toMatchObject({ status: "completed", data: { seat: 7 } });
    expect(value.timers).toEqual([]);
    expect(log.map(({ type, key }) => `${type} ${key}`)).toEqual([
      "flight begun",
      "room begun",
      "room ended",
      "flight ended",
      "pay begun",
      "pay ended",
    ]);
  });
});

/** Two steps that do not wait for each other. */
const sideBySide = Saga.make("trip", { version: 1, data: Trip }).pipe(
  Saga.parallel([
    Saga.step("flight", {
      send: BookFlight,
      with: ref,
      done: FlightBooked,
      onDone: (trip, { seat }) => ({ ...trip, seat }),
      undo: { none: "nothing fails here" },
      timeout: TIMEOUT_MS,
    }),
    Saga.step("room", { send: CancelFlight, with: ref, done: FlightCanceled, undo: { none: "nothing fails here" }, timeout: TIMEOUT_MS }),
  ]),
  Saga.pivot("pay", { send: Pay, with: ref, done: Paid, undo: { none: "nothing follows it" }, timeout: TIMEOUT_MS }),
);

/** A second answer to the first step, from elsewhere. */
const late: Message.Envelope = {
  id: "018f0000-0000-7000-8000-000000000001",
  type: FlightBooked.type,
  topic: FlightBooked.topic,
  key: "t",
  occurredAt: 0,
  correlationId: "t",
  causationId: null,
  stepKey: "t:book-flight:1",
  saga: "trip@1",
  traceparent: null,
  tracestate: null,
  body: { id: "t", seat: 99 },
};
