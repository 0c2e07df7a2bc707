/** A choreographed saga that is no order, on memory ports: its home starts, cancels, resumes and resolves it. */
import { Effect, Exit, Layer, type Scope } from "effect";
import { describe, expect, it } from "vitest";
import {
  ChoreographyHome,
  type ChoreographyRunner,
  ChoreographyService,
  MemoryBus,
  MemoryDatabase,
  MemoryStores,
  Message,
  MessageConsumer,
  OutboxRelay,
  Responder,
  Saga,
  SagaStore,
  StoreError,
  UnitOfWork,
} from "@org/saga-core";
import { definition, M, trip } from "../docs/ownChoreography.ts";
import { simulate } from "./Harness.ts";

const distributions = {
  "the home does a part": trip,
  "the home does nothing itself": Saga.choreograph(definition, {
    home: "desk",
    owners: { "hold-seat": "travel", pay: "bank", "send-ticket": "travel" },
  }),
  "the home is the arbiter": Saga.choreograph(definition, {
    home: "bank",
    owners: { "hold-seat": "travel", pay: "bank", "send-ticket": "travel" },
  }),
};
type Choreography = Pick<typeof trip, "home" | "arbiter" | "services">;
type Home = ChoreographyHome.ChoreographyHome<{ readonly trip: string; readonly seat: string; readonly price: number }>;

/** What the participants do, and did. `"never"`: it does not answer yet. */
class Fate {
  seats: "held" | "never" = "held";
  release: "released" | "refused" = "released";
  pays: "paid" | "never" = "paid";
  readonly done: Array<string> = [];

  readonly answer = (envelope: Message.Envelope): ReadonlyArray<Message.Draft> => {
    this.done.push(envelope.type);
    const body = { trip: envelope.key };
    if (M.HoldSeat.is(envelope)) return this.seats === "held" ? [Responder.reply(M.SeatHeld, body, envelope)] : [];
    if (M.ReleaseSeat.is(envelope))
      return [Responder.reply(this.release === "released" ? M.SeatReleased : M.ReleaseRefused, body, envelope)];
    if (M.Pay.is(envelope)) return this.pays === "paid" ? [Responder.reply(M.Paid, body, envelope)] : [];
    return [Responder.reply(M.TicketSent, body, envelope)];
  };
}

const commands = [M.HoldSeat, M.ReleaseSeat, M.Pay, M.SendTicket];

const participant = (service: string, fate: Fate) =>
  MessageConsumer.layer({
    group: `${service}-participant`,
    catalogue: Message.catalogue(commands),
    types: commands.filter(({ topic }) => topic === `${service}.commands`),
    handle: Responder.handle({
      name: `${service}-participant`,
      respond: (envelopes) => Effect.sync(() => envelopes.map(fate.answer)),
    }),
  });

const roles = ["consumer", "worker"] as const;

/** Every service on a database of its own, until the scope ends; the home is the caller's database. */
const open = Effect.fnUntraced(function* (choreography: Choreography, fate: Fate) {
  const broker = yield* MemoryBus.make();
  for (const service of ["desk", "travel", "bank"]) {
    for (const kind of ["events", "commands"]) broker.ensure(`${service}.${kind}`);
  }
  const bus = MemoryBus.layerOf(broker);
  for (const projection of choreography.services) {
    const { service } = projection;
    if (service === choreography.home.service) continue;
    const database = yield* MemoryDatabase.make;
    const part = ChoreographyService.layer(projection, { roles });
    const layer = Layer.mergeAll(part, participant(service, fate), OutboxRelay.layer);
    yield* Layer.build(Layer.fresh(Layer.provide(layer, Layer.merge(MemoryStores.layerOf(database), bus))));
  }
  const { home } = choreography;
  yield* Layer.build(Layer.fresh(Layer.provide(Layer.mergeAll(participant(home.service, fate), OutboxRelay.layer), bus)));
  return yield* Effect.provide(ChoreographyHome.make(home, { roles }), bus);
});

const data = { trip: "t", seat: "12A", price: 90 };
const said = { by: "ada", note: "ticket 4711" };

/** Looks again and again, on the virtual clock, for five minutes. */
const eventually = <E>(what: string, isSo: Effect.Effect<boolean, E>, looks = 600): Effect.Effect<void, E> =>
  Effect.flatMap(isSo, (so) => {
    if (so) return Effect.void;
    if (looks === 0) return Effect.die(new Error(`not ${what}`));
    return Effect.andThen(Effect.sleep("500 millis"), eventually(what, isSo, looks - 1));
  });

const until = (home: Home, status: string) =>
  eventually(
    status,
    Effect.map(home.find("t"), (found) => found?.status === status),
  );

/** Until a participant was told so. */
const heard = (fate: Fate, type: string) =>
  eventually(
    type,
    Effect.sync(() => fate.done.includes(type)),
  );

describe.each(Object.entries(distributions))("a saga of one's own: %s", (_, choreography) => {
  const run = <A>(
    program: (
      home: Home,
      fate: Fate,
      world: { readonly database: MemoryDatabase.Database },
    ) => Effect.Effect<A, unknown, MemoryStores.Ports | Scope.Scope>,
  ) =>
    simulate((world) =>
      Effect.gen(function* () {
        const fate = new Fate();
        const home: Home = yield* open(choreography, fate);
        return yield* program(home, fate, world);
      }),
    );

  it("starts once and ends; there is nothing to cancel, resume or resolve behind it", () => {
    run((home, fate) =>
      Effect.gen(function* () {
        expect(yield* home.start("t", data)).toEqual({ _tag: "Started" });
        expect(yield* home.start("t", { ...data, seat: "1B" })).toEqual({ _tag: "AlreadyThere" });
        yield* until(home, "completed");
        expect(yield* home.start("t", data)).toEqual({ _tag: "AlreadyThere" });
        expect(fate.done).toEqual([M.HoldSeat.type, M.Pay.type, M.SendTicket.type]);
        expect(yield* home.find("t")).toEqual({ version: 1, status: "completed", data, failure: null, refused: [], audit: [] });
        expect(yield* home.cancel("t", "ada")).toEqual({ _tag: "TooLate", status: "completed" });
        expect(yield* home.resume("t", said)).toEqual({ _tag: "NothingRefused", status: "completed" });
        expect(yield* home.resolve("t", "hold-seat", said)).toEqual({ _tag: "NothingRefused", status: "completed" });
      }),
    );
  });

  it("is undone by a cancel that comes before the pivot, and refuses one that comes behind the undo", () => {
    run((home, fate) =>
      Effect.gen(function* () {
        fate.seats = "never";
        yield* home.start("t", data);
        yield* heard(fate, M.HoldSeat.type);
        expect(yield* home.cancel("t", "ada")).toMatchObject({ _tag: "Asked" });
        yield* until(home, "compensated");
        expect(fate.done).not.toContain(M.Pay.type);
        expect(fate.done).toContain(M.ReleaseSeat.type);
        expect(yield* home.find("t")).toMatchObject({ failure: { reason: "canceled" }, refused: [], audit: [] });
        expect(yield* home.cancel("t", "ada")).toEqual({ _tag: "TooLate", status: "compensated" });
      }),
    );
  });

  it("ends well in spite of a cancel that comes when the pivot was asked for", () => {
    run((home, fate) =>
      Effect.gen(function* () {
        fate.pays = "never";
        yield* home.start("t", data);
        yield* heard(fate, M.Pay.type);
        // The arbiter knows at once; any other home has to ask.
        const { home: own, arbiter } = choreography;
        expect(yield* home.cancel("t", "ada")).toEqual({ _tag: own === arbiter ? "TooLate" : "Asked", status: "running" });
        fate.pays = "paid";
        yield* until(home, "completed");
        expect(fate.done).not.toContain(M.ReleaseSeat.type);
      }),
    );
  });

  const stuck = Effect.fnUntraced(function* (home: Home, fate: Fate) {
    fate.seats = "never";
    fate.release = "refused";
    yield* home.start("t", data);
    yield* heard(fate, M.HoldSeat.type);
    yield* home.cancel("t", "ada");
    yield* until(home, "compensationFailed");
    expect((yield* home.find("t"))?.refused).toEqual(["hold-seat"]);
    fate.done.length = 0;
  });

  it("is asked for an undo again that was refused for good, when a person at home says so", () => {
    run((home, fate) =>
      Effect.gen(function* () {
        yield* stuck(home, fate);
        fate.release = "released";
        expect(yield* home.resume("t", said)).toMatchObject({ _tag: "Asked" });
        yield* until(home, "compensated");
        expect(fate.done).toEqual([M.ReleaseSeat.type]);
        expect((yield* home.find("t"))?.audit).toMatchObject([{ action: "resume", step: null, ...said }]);
      }),
    );
  });

  it("takes a person's word that an undo was done by hand, of the step that was refused", () => {
    run((home, fate) =>
      Effect.gen(function* () {
        yield* stuck(home, fate);
        expect(yield* home.resolve("t", "pay", said)).toEqual({ _tag: "NothingRefused", status: "compensationFailed" });
        expect(yield* home.resolve("t", "hold-seat", said)).toMatchObject({ _tag: "Asked" });
        yield* until(home, "compensated");
        expect(fate.done).toEqual([]);
        expect((yield* home.find("t"))?.audit).toMatchObject([{ action: "resolve", step: "hold-seat", ...said }]);
      }),
    );
  });

  it("does nothing about one that is not there", () => {
    run((home, _fate, { database }) =>
      Effect.gen(function* () {
        expect(yield* home.find("t")).toBeNull();
        const words = [home.cancel("t", "ada"), home.resume("t", said), home.resolve("t", "pay", said)];
        for (const word of words) expect(yield* word).toEqual({ _tag: "NotFound" });
        expect([database.sagas.committed.size, database.outboxPending.committed.size]).toEqual([0, 0]);
      }),
    );
  });

  it("begins with its home's own writes, or not at all", () => {
    run((home) =>
      Effect.gen(function* () {
        const { commit } = yield* UnitOfWork;
        const full = new StoreError({ reason: "Refused", operation: "test", message: "full" });
        expect(yield* Effect.flip(commit(Effect.andThen(home.startWithin("t", data), Effect.fail(full))))).toBe(full);
        expect(yield* home.find("t")).toBeNull();
        for (const id of ["", "\ud800"]) {
          expect(yield* Effect.flip(home.start(id, data))).toMatchObject({ _tag: "Poisoned" });
          expect(yield* Effect.flip(commit(home.startWithin(id, data)))).toMatchObject({ reason: "Misuse" });
        }
        expect(yield* commit(home.startWithin("t", data))).toEqual({ _tag: "Started" });
        expect(yield* commit(home.startWithin("t", data))).toEqual({ _tag: "AlreadyThere" });
        yield* until(home, "completed");
      }),
    );
  });
});

/** An order's checkout has local steps, which nobody would do here. */
// @ts-expect-error: so its home does not fit
const _ofOrders = (home: ChoreographyRunner.Home) => ChoreographyHome.make(home, { roles: [] });

describe("the home of a saga", () => {
  it("is none of another service's part", () => {
    simulate(() =>
      Effect.gen(function* () {
        const made = Effect.provide(ChoreographyHome.make(trip.of("bank"), { roles: [] }), MemoryBus.layer);
        const exit = yield* Effect.exit(made);
        expect(Exit.isFailure(exit) && String(exit.cause)).toContain('"bank" is not its home');
      }),
    );
  });

  it("reads an instance by the version that it began in, and leaves alone those that it does not know", () => {
    simulate(() =>
      Effect.gen(function* () {
        const newer = Saga.choreograph(
          { ...definition, version: 2 },
          {
            home: "travel",
            owners: { "hold-seat": "travel", pay: "bank", "send-ticket": "travel" },
          },
        );
        const of = (home: typeof trip.home, older: ReadonlyArray<typeof trip.home> = []) =>
          Effect.provide(ChoreographyHome.make(home, { roles: [], older }), MemoryBus.layer);
        yield* (yield* of(trip.home)).start("t", data);
        const both = yield* of(newer.home, [trip.home]);
        expect(yield* both.find("t")).toMatchObject({ version: 1, status: "running", data });
        const alone = yield* of(newer.home);
        expect(yield* Effect.flip(alone.find("t"))).toMatchObject({ _tag: "LeftAlone" });
        expect(yield* Effect.flip(alone.cancel("t", "ada"))).toMatchObject({ _tag: "LeftAlone" });
        const sagas = yield* SagaStore;
        const coordinated = { saga: "trip", version: 2, id: "c", status: "running", revision: 1, state: { status: "running" } };
        yield* (yield* UnitOfWork).commit(sagas.save([coordinated]));
        expect(yield* Effect.flip(alone.find("c"))).toMatchObject({ _tag: "LeftAlone" });
      }),
    );
  });
});
