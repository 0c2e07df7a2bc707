/** A choreographed saga's definition changes while instances are in flight: what a service does about its rows. */
import { Cause, Effect, Exit, Result, Schema } from "effect";
import { describe, expect, it } from "vitest";
import {
  type Aggregate,
  Aggregate as Inputs,
  Batch,
  Checkout,
  Choreography,
  ChoreographyRunner,
  ChoreographyService,
  CommandHandler,
  type MemoryDatabase,
  Message,
  MessageConsumer,
  type OrderStore,
  Saga,
  SagaRunner,
  SagaStart,
  SagaStore,
  Timers,
  UnitOfWork,
} from "@org/saga-core";
import { orderId, place } from "../domain/Fixtures.ts";
import { simulate } from "./Harness.ts";

const Ref = Schema.Struct({ trip: Schema.String });
interface Trip extends Schema.Schema.Type<typeof Ref> {
  readonly insured?: boolean;
}
const topic = (name: string) => ({ topic: name, key: ({ trip }: Trip) => trip });
const ref = ({ trip }: Trip) => ({ trip });
const asks = (name: string) => Message.command(`trip.${name}.v1`, Ref, topic("trip.commands"));
const Booked = Message.event("trip.booked.v1", Ref, topic("seats.events"));
const Canceled = Message.event("trip.canceled.v1", Ref, topic("seats.events"));
const Insured = Message.event("trip.insured.v1", Ref, topic("seats.events"));
const Paid = Message.event("trip.paid.v1", Ref, topic("bank.events"));

const book = { send: asks("book"), with: ref, done: Booked, undo: { send: asks("cancel"), with: ref, done: Canceled } };
const insure = { send: asks("insure"), with: ref, done: Insured, undo: { none: "it lapses" } };
const pay = { send: asks("pay"), with: ref, done: Paid, undo: { none: "nothing turns around behind it" } };

type Definition = Saga.Definition<Trip, never>;
const Plain: Schema.Codec<Trip, unknown> = Schema.Struct({ trip: Schema.String });
const Insurable: Schema.Codec<Trip, unknown> = Schema.Struct({ trip: Schema.String, insured: Schema.Boolean });

const first: Definition = Saga.make("trip", {
  version: 1,
  data: Plain,
}).pipe(Saga.step("book", book), Saga.pivot("pay", pay));
const second: Definition = Saga.make("trip", { version: 2, data: Insurable }).pipe(
  Saga.step("book", book),
  Saga.step("insure", insure),
  Saga.pivot("pay", pay),
);

const choreographed = (definition: Definition) => {
  const insurer = definition.steps.some(({ name }) => name === "insure") ? { insure: "seats" } : {};
  return Saga.choreograph(definition, { home: "desk", owners: { book: "seats", pay: "bank", ...insurer } });
};
const [v1, v2] = [choreographed(first), choreographed(second)];
const [seats1, seats2] = [v1.of("seats"), v2.of("seats")];
type Projection = typeof seats1;

let ids = 0;
const stamped = (draft: Message.Draft): Message.Encoded => {
  ids += 1;
  const nobody = { correlationId: "c", causationId: null, traceparent: null, tracestate: null };
  return Message.stamp(draft, { id: `m-${ids}`, occurredAt: 1, ...nobody });
};

/** What a process that knows these versions makes of a message. */
const hear = (versions: readonly [Projection, ...ReadonlyArray<Projection>], draft: Message.Draft) => {
  const [newest, ...older] = versions;
  const run = Batch.isolate("seats", CommandHandler.runBatch(ChoreographyService.aggregate(newest, older)));
  const read = Message.decode(Choreography.listens(versions).catalogue, stamped(draft));
  if (Result.isFailure(read)) throw new Error(read.failure.detail);
  return Effect.map(run([{ _tag: "Message", envelope: read.success }]), ([exit]) => verdictOf(exit));
};

const verdictOf = (exit: Exit.Exit<unknown, Batch.Failure> | undefined): string => {
  if (exit === undefined) return "nothing";
  if (Exit.isSuccess(exit)) return "handled";
  const failure = Cause.squash(exit.cause);
  return failure instanceof Error ? failure.message : "a defect";
};

const started = ({ protocol }: Projection, trip: Trip): Message.Draft =>
  protocol.Started.draft({ instance: trip.trip, data: protocol.encodeStart(trip), outcomes: {} }, { saga: protocol.saga });
const booked = ({ protocol }: Projection, trip: string): Message.Draft =>
  Booked.draft({ trip }, { saga: protocol.saga, stepKey: `${trip}:book:1` });

const sent = (database: MemoryDatabase.Database, trip: string): ReadonlyArray<string> =>
  [...database.outboxPending.committed.values()].flatMap(({ message }) =>
    message.key === trip && message.topic === "trip.commands" ? [`${message.saga} ${message.type}`] : [],
  );

const shown = (trip: string) =>
  Effect.map(
    Effect.flatMap(SagaStore, (store) => store.find("trip", [trip])),
    (found) => {
      const { version, status } = found.get(trip) ?? {};
      return `${version} ${status}`;
    },
  );

describe("a service's part in a choreographed saga, changed while instances are in flight", () => {
  it("ends an instance in the version it began in, beside new ones", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        yield* hear([seats1], started(seats1, { trip: "old" }));
        expect(yield* hear([seats2, seats1], started(seats2, { trip: "new", insured: true }))).toBe("handled");
        for (const trip of ["old", "new"]) yield* hear([seats2, seats1], booked(trip === "old" ? seats1 : seats2, trip));
        expect(sent(database, "old")).toEqual(["trip@1 trip.book.v1"]);
        expect(sent(database, "new")).toEqual(["trip@2 trip.book.v1", "trip@2 trip.insure.v1"]);
        expect([yield* shown("old"), yield* shown("new")]).toEqual(["1 running", "2 running"]);
      }),
    );
  });

  it("counts an instance as live until the arbiter has closed it, for it may still have to be undone", () => {
    simulate(() =>
      Effect.gen(function* () {
        yield* hear([seats1], started(seats1, { trip: "t" }));
        yield* hear([seats1], booked(seats1, "t"));
        expect(yield* shown("t")).toBe("1 running");
        const { Closed, saga } = seats1.protocol;
        yield* hear([seats1], Closed.draft({ instance: "t", failure: null, pivoted: true }, { saga }));
        expect(yield* shown("t")).toBe("1 completed");
      }),
    );
  });

  it("begins an instance in the version that it was started in, though something was heard of it before", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const both = [seats2, seats1] as const;
        yield* hear(both, seats2.protocol.Passed.draft({ instance: "t", step: "book", outcome: { _tag: "Done", json: null } }));
        expect(yield* shown("t")).toBe("2 running");
        expect(yield* hear(both, started(seats1, { trip: "t" }))).toBe("handled");
        expect(yield* shown("t")).toBe("1 running");
        expect(sent(database, "t")).toEqual(["trip@1 trip.book.v1"]);
      }),
    );
  });

  it("leaves alone what belongs to a version that it does not know: a start that it could not read, events, timers", () => {
    simulate(() =>
      Effect.gen(function* () {
        const start = started(seats1, { trip: "t" });
        expect(yield* hear([seats2], start)).toContain("trip.started.v1 is of version 1");
        const deliveries = [{ _tag: "Readable" as const, position: { topic: "t", partition: 0, offset: 0 }, message: stamped(start) }];
        const { hears, catalogue } = Choreography.listens([seats2]);
        const run = Batch.isolate("seats", CommandHandler.runBatch(ChoreographyService.aggregate(seats2)));
        const consume = MessageConsumer.handleBatch({
          group: "seats",
          types: hears,
          catalogue,
          handle: (envelopes) => run(envelopes.map((envelope) => ({ _tag: "Message", envelope }))),
        });
        // Not acknowledged, and no dead letter: it comes again, to a process that can.
        expect(yield* Effect.flip(consume(deliveries))).toMatchObject({ reason: "Unavailable" });
        yield* hear([seats1], start);
        expect(yield* hear([seats2], booked(seats1, "t"))).toContain("is of version 1");
        // Of no version by itself; its row is.
        expect(yield* hear([seats2], Booked.draft({ trip: "t" }))).toContain('instance "t" is of version 1');
        const [timer] = yield* (yield* Timers).list("trip", "t");
        if (timer === undefined) throw new Error("no timer");
        const [exit] = yield* run([{ _tag: "Timer", timer }]);
        expect(verdictOf(exit)).toContain('instance "t" is of version 1');
        expect(yield* shown("t")).toBe("1 running");
      }),
    );
  });

  it("takes only older versions of its own part, each once", () => {
    const listed = (older: Projection) => () => ChoreographyService.aggregate(seats1, [older]);
    expect(listed(seats1)).toThrow("listed twice");
    expect(listed(seats2)).toThrow("not older");
    expect(() => ChoreographyService.aggregate(seats2, [v1.of("bank")])).toThrow("version 1 of bank is no version of it");
  });
});

describe("the start of a service's part", () => {
  it("refuses one that was changed under its version, says how, and how many of its rows are live", () => {
    simulate(() =>
      Effect.gen(function* () {
        yield* SagaStart.checkProjection(seats1);
        yield* SagaStart.checkProjection(seats1);
        yield* hear([seats1], started(seats1, { trip: "a" }));
        yield* hear([seats1], started(seats1, { trip: "b" }));
        yield* SagaStart.checkProjection(seats2, [seats1]);
        const moved = Saga.choreograph(first, { home: "desk", owners: { book: "bank", pay: "seats" } }).of("seats");
        const refused = yield* Effect.flip(SagaStart.checkProjection(moved));
        expect(refused).toMatchObject({ _tag: "SagaChanged", saga: "trip/seats", version: 1, live: 2 });
        expect(refused.message).toContain('step "book": owner is another service, not seats');
        const inserted = yield* Effect.flip(SagaStart.checkProjection(choreographed({ ...second, version: 1 }).of("seats")));
        expect(inserted.message).toContain('step "insure" is new');
        expect(inserted.message).toContain("`older` in a choreography");
        // What was refused has not run: with its mistake mended it starts.
        const wrong = choreographed({ ...second, version: 3 }).of("seats");
        expect(yield* Effect.flip(SagaStart.checkProjection(wrong, [moved]))).toMatchObject({ version: 1 });
        yield* SagaStart.checkProjection(choreographed({ ...first, version: 3 }).of("seats"), [seats1, seats2]);
      }),
    );
  });
});

describe("the start under one topology, where instances of the other are left", () => {
  const begin = (version: number, id: string, state: unknown, status = "running") =>
    Effect.gen(function* () {
      const sagas = yield* SagaStore;
      const record = { saga: "trip", version, id, status, revision: 1, state };
      yield* (yield* UnitOfWork).commit(sagas.save([record]));
    });

  it("is refused without a coordinator while instances of one are live, in any version, and keeps no shape", () => {
    simulate(() =>
      Effect.gen(function* () {
        yield* SagaStart.check(first);
        yield* begin(1, "a", { status: "running" });
        yield* begin(2, "b", { status: "compensationFailed" }, "compensationFailed");
        const refused = yield* Effect.flip(SagaStart.checkProjection(seats1));
        expect(refused).toMatchObject({ _tag: "OtherTopology", saga: "trip", begun: "orchestrated", live: 2 });
        expect(refused.message).toContain("trip: 2 of its instances were begun orchestrated and are live");
        expect(refused.message).toContain("Start the orchestrated services again, begin nothing new, and switch when these have ended");
        expect((yield* (yield* SagaStore).shapes("trip")).map(({ saga }) => saga)).toEqual(["trip"]);
        yield* SagaStart.check(first);
      }),
    );
  });

  it("is refused with a coordinator while rows without one are live, and goes well when they have ended", () => {
    simulate(() =>
      Effect.gen(function* () {
        yield* SagaStart.checkProjection(seats1);
        yield* hear([seats1], started(seats1, { trip: "t" }));
        expect(yield* Effect.flip(SagaStart.check(first))).toMatchObject({ _tag: "OtherTopology", begun: "choreographed", live: 1 });
        yield* SagaStart.checkProjection(seats1);
        const { Closed, saga } = seats1.protocol;
        yield* hear([seats1], Closed.draft({ instance: "t", failure: null, pivoted: true }, { saga }));
        // The whole has its own name: parts have run here before.
        yield* SagaStart.check(first);
        yield* begin(1, "over", { status: "completed" }, "completed");
        yield* SagaStart.checkProjection(seats1);
      }),
    );
  });
});

const checkout = Checkout.make({ holdTtlMillis: 3_600_000 });
const homes = [1, 2].map((version) => Saga.choreograph({ ...checkout, version }, Checkout.distribution).home);

const placing = Inputs.request<SagaRunner.Command>(orderId, (now) => place({ cancelPolicy: "compensating", now }));
const canceling = Inputs.request<SagaRunner.Command>(orderId, (now) => ({ _tag: "Cancel", by: "user", now }));

describe("the home of a choreographed checkout", () => {
  const run = <S>(
    aggregate: Aggregate.Aggregate<S, SagaRunner.Command, SagaRunner.Answer, OrderStore | SagaStore>,
    input: Aggregate.Input<SagaRunner.Command>,
  ) => Effect.map(Batch.isolate("order", CommandHandler.runBatch(aggregate))([input]), ([exit]) => verdictOf(exit));

  it("ends an order's checkout in the version that it began in; another process leaves it alone", () => {
    simulate(() =>
      Effect.gen(function* () {
        const [home1, home2] = homes;
        if (home1 === undefined || home2 === undefined) throw new Error("fixture");
        yield* run(ChoreographyRunner.make(home1), placing);
        expect(yield* run(ChoreographyRunner.make(home2), canceling)).toContain(`instance "${orderId}" is of version 1`);
        expect(yield* run(ChoreographyRunner.make(home2, [home1]), canceling)).toBe("handled");
        const row = (yield* (yield* SagaStore).find("checkout", [orderId])).get(orderId);
        expect(row).toMatchObject({ version: 1, revision: 2 });
      }),
    );
  });

  it.each(["orchestrated", "choreographed"] as const)("leaves alone a checkout that was begun the other way: %s", (begun) => {
    simulate(() =>
      Effect.gen(function* () {
        const [home] = homes;
        if (home === undefined) throw new Error("fixture");
        const coordinator = SagaRunner.make(checkout);
        if (begun === "orchestrated") {
          yield* run(coordinator, placing);
          expect(yield* run(ChoreographyRunner.make(home), canceling)).toContain(`the instance "${orderId}" has a coordinator`);
          expect(yield* run(coordinator, canceling)).toBe("handled");
        } else {
          yield* run(ChoreographyRunner.make(home), placing);
          expect(yield* run(coordinator, canceling)).toContain(`the instance "${orderId}" is choreographed`);
          expect(yield* run(ChoreographyRunner.make(home), canceling)).toBe("handled");
        }
      }),
    );
  });
});
