/** Calls to the outside: recorded before, known after, probed in between; never made twice. */
import { Deferred, Effect, Exit, Fiber, Layer, type Scope } from "effect";
import { describe, expect, it } from "vitest";
import { FaultPoint, MemoryDatabase, MemoryStores, Participant, TimerPump } from "@org/saga-core";
import { Simulator } from "@org/saga-core/testing";
import { simulate, type Ports } from "./Harness.ts";
import * as World from "./ParticipantWorld.ts";

const { Charge, envelope, Refund } = World;

/** Fires what is due, once a second, for `millis`. */
const pump = (participant: Participant.Participant, millis: number) =>
  Effect.forEach(
    [...Array(Math.ceil(millis / 1_000)).keys()],
    () => Effect.andThen(TimerPump.pumpOnce("payment", participant.onTimers), Effect.sleep(1_000)),
    { discard: true },
  );

const run = <A>(
  fates: ReadonlyArray<World.Fate>,
  program: (world: {
    readonly provider: World.Provider;
    readonly database: MemoryDatabase.Database;
  }) => Effect.Effect<A, unknown, Ports | Scope.Scope>,
): A => {
  const provider = new World.Provider((n) => Effect.succeed(fates[n - 1] ?? "done"));
  return simulate(({ database }) => program({ provider, database }));
};

describe("a participant", () => {
  it("records what is asked, calls, and answers under the step's key; asked again it answers the same and calls nobody", () => {
    run(["done"], ({ provider, database }) =>
      Effect.gen(function* () {
        const participant = yield* World.make(provider);
        yield* World.deliver(participant, envelope(Charge, "o"));
        expect([provider.calls, World.answers(database)]).toEqual([0, []]);
        yield* pump(participant, 2_000);
        yield* World.deliver(participant, envelope(Charge, "o"));
        yield* World.deliver(participant, envelope(Charge, "o", "again"));
        yield* pump(participant, 20_000);
        expect([provider.made, provider.probes]).toEqual([["o:pay:1"], 0]);
        expect(World.answers(database)).toEqual(Array(2).fill("payment.charged.v1 o:pay:1 shop@1"));
      }),
    );
  });

  it.each<readonly [World.Fate, number, ReadonlyArray<string>]>([
    ["declined", 1, ["payment.declined.v1 o:pay:1 shop@1"]],
    ["lost", 1, ["payment.charged.v1 o:pay:1 shop@1"]],
    ["late", 1, ["payment.charged.v1 o:pay:1 shop@1"]],
    ["away", 2, ["payment.charged.v1 o:pay:1 shop@1"]],
    ["hangs", 2, ["payment.charged.v1 o:pay:1 shop@1"]],
  ])("settles a call that is %s: %i call(s), one answer", (fate, calls, answers) => {
    run([fate, "done"], ({ provider, database }) =>
      Effect.gen(function* () {
        const participant = yield* World.make(provider);
        yield* World.deliver(participant, envelope(Charge, "o"));
        yield* pump(participant, 60_000);
        expect([provider.calls, World.answers(database)]).toEqual([calls, answers]);
        expect(provider.count("o:pay:1")).toBe(fate === "declined" ? 0 : 1);
      }),
    );
  });

  it.each<readonly [string, World.Fate, ReadonlyArray<string>]>([
    ["happened", "done", ["o:pay:1", "o:pay:1/undo"]],
    ["was declined", "declined", []],
    ["never arrived", "away", []],
    ["happened, unheard", "lost", ["o:pay:1", "o:pay:1/undo"]],
    ["is still on its way", "late", ["o:pay:1", "o:pay:1/undo"]],
  ])("undoes a step that %s, when it is known", (_, fate, made) => {
    run([fate, "done"], ({ provider, database }) =>
      Effect.gen(function* () {
        const participant = yield* World.make(provider);
        yield* World.deliver(participant, envelope(Charge, "o"));
        yield* pump(participant, 1_000);
        yield* World.deliver(participant, envelope(Refund, "o"));
        yield* pump(participant, 60_000);
        expect(provider.made).toEqual(made);
        expect(World.answers(database).at(-1)).toBe("payment.refunded.v1 o:pay:1 shop@1");
      }),
    );
  });

  it("refuses a step that comes after its undo (tombstone), and one that waits for its call", () => {
    run([], ({ provider, database }) =>
      Effect.gen(function* () {
        const participant = yield* World.make(provider);
        yield* World.deliver(participant, envelope(Refund, "late"));
        yield* World.deliver(participant, envelope(Charge, "late"));
        yield* World.deliver(participant, envelope(Charge, "waits"));
        yield* World.deliver(participant, envelope(Refund, "waits"));
        yield* World.deliver(participant, envelope(Refund, "waits", "again"));
        yield* pump(participant, 60_000);
        expect([provider.calls, provider.probes]).toEqual([0, 0]);
        const refunded = (id: string) => `payment.refunded.v1 ${id}:pay:1 shop@1`;
        expect(World.answers(database)).toEqual([refunded("late"), refunded("waits"), refunded("waits")]);
      }),
    );
  });

  it("asks for a refused undo again when somebody asks again", () => {
    run(["done", "declined", "done"], ({ provider, database }) =>
      Effect.gen(function* () {
        const participant = yield* World.make(provider);
        for (const message of [envelope(Charge, "o"), envelope(Refund, "o"), envelope(Refund, "o", "again")]) {
          yield* World.deliver(participant, message);
          yield* pump(participant, 5_000);
        }
        expect(World.answers(database).map((line) => line.split(" ")[0])).toEqual([
          "payment.charged.v1",
          "payment.refund-refused.v1",
          "payment.refunded.v1",
        ]);
      }),
    );
  });

  it("has no more calls under way than it may, and makes all of them", () => {
    run([], ({ provider }) =>
      Effect.gen(function* () {
        const slow = new World.Provider(() => Effect.as(Effect.sleep(500), "done"));
        const participant = yield* World.make(slow, { callsMax: 3 });
        const ids = [...Array(20).keys()].map((n) => `o-${n}`);
        for (const id of ids) yield* World.deliver(participant, envelope(Charge, id));
        yield* pump(participant, 30_000);
        expect([slow.peak, slow.calls, provider.calls]).toEqual([3, 20, 0]);
      }),
    );
  });

  it("lets calls wait while the other side is away, lets one through to see, and goes on when it is answered", () => {
    let isAway = true;
    const provider = new World.Provider(() => Effect.sync(() => (isAway ? "away" : "done")));
    simulate(() =>
      Effect.gen(function* () {
        // Probes are calls, too: without one that is away there would be answers.
        const deaf = Object.assign(provider, {
          find: () => Effect.suspend(() => (isAway ? Effect.die(new Error("away")) : Effect.succeed(null))),
        });
        const participant = yield* World.make(deaf, { failuresMax: 3, openFor: "1 minute", callsMax: 1 });
        const ids = [...Array(30).keys()].map((n) => `o-${n}`);
        for (const id of ids) yield* World.deliver(participant, envelope(Charge, id));
        const pumping = yield* Effect.forkScoped(Effect.forever(pump(participant, 1_000)));
        yield* Effect.sleep(50_000);
        const before = provider.calls;
        expect(before).toBeLessThanOrEqual(4);
        isAway = false;
        yield* Effect.sleep(600_000);
        yield* Fiber.interrupt(pumping);
        for (const id of ids) expect(provider.count(World.stepKey(id))).toBe(1);
      }),
    );
  });
});

const HOUR_MS = 3_600_000;

/** Fault points that are passed until a step is done and undone, and some more. */
const GAPS = 200;

/** A process: takes what `messages` say, pumps, until it crashes. */
const living = (
  provider: World.Provider,
  database: MemoryDatabase.Database,
  feed: (participant: Participant.Participant) => Effect.Effect<void>,
) =>
  Layer.unwrap(
    Effect.map(World.make(provider), (participant) =>
      Layer.merge(participant.worker, Layer.effectDiscard(Effect.forkScoped(feed(participant)))),
    ),
  ).pipe(Layer.provide(MemoryStores.layerOf(database)));

describe("a participant whose process crashes", () => {
  /** One charge, and its undo afterwards or not; the process dies where it comes to the n-th fault point, and starts again. */
  const crashedAt = (n: number, isUndone: boolean, fate: World.Fate) => {
    const provider = new World.Provider((call) => Effect.succeed(call === 1 ? fate : "done"));
    let at: string | null = null;
    const simulated = Simulator.run(
      { seed: 1, limitMillis: 2 * HOUR_MS },
      Effect.gen(function* () {
        const database = yield* MemoryDatabase.make;
        let left = n;
        const life = Effect.gen(function* () {
          const crashed = yield* Deferred.make<void>();
          const handler: FaultPoint.Handler = (point) =>
            Effect.suspend(() => {
              // A look at the timers writes nothing of its own.
              if (point.startsWith("Timers.claimDue") || point.startsWith("Timers.nextDueAt")) return Effect.void;
              left -= 1;
              if (left !== 0) return Effect.void;
              at = point;
              Deferred.doneUnsafe(crashed, Exit.void);
              return Effect.interruptible(Effect.never);
            });
          const feed = (participant: Participant.Participant) =>
            Effect.gen(function* () {
              yield* World.deliver(participant, envelope(Charge, "o"));
              // The call has begun by then.
              yield* Effect.sleep(1_000);
              if (isUndone) yield* World.deliver(participant, envelope(Refund, "o"));
            });
          const lives = Layer.launch(living(provider, database, feed)).pipe(Effect.provideService(FaultPoint.Handler, handler));
          yield* Effect.raceFirst(lives, Deferred.await(crashed));
        });
        yield* Effect.raceFirst(Effect.forever(life), Effect.sleep(60_000));
        return World.answers(database).map((line) => line.split(" ")[0]);
      }),
    );
    if (Exit.isFailure(simulated.exit)) throw new Error(`crash ${n} at ${at}: ${Simulator.explain(simulated.exit)}`);
    return { at, provider, answers: simulated.exit.value };
  };

  it.each<readonly [string, boolean, World.Fate]>([
    ["a step", false, "done"],
    ["a step whose answer is lost", false, "lost"],
    ["a step that is undone", true, "done"],
    ["a step that is undone before it is known", true, "late"],
  ])("at any gap of %s: it is done once, answered, and undone once", (_, isUndone, fate) => {
    const gaps = new Set<string>();
    for (let n = 1; n <= GAPS; n += 1) {
      const { at, provider, answers } = crashedAt(n, isUndone, fate);
      if (at === null) break;
      gaps.add(at);
      const [charges, refunds] = [provider.count("o:pay:1"), provider.count("o:pay:1/undo")];
      expect([n, at, charges <= 1, refunds === (isUndone ? charges : 0)]).toEqual([n, at, true, true]);
      expect([n, at, answers.includes(isUndone ? "payment.refunded.v1" : "payment.charged.v1")]).toEqual([n, at, true]);
    }
    expect([...gaps]).toEqual(expect.arrayContaining(["Provider.call.before", "Provider.call.after", "UnitOfWork.commit.afterCommit"]));
  });

  it("under any faults, delays and fates: never two charges, never a charge that is undone and kept", () => {
    let crashes = 0;
    for (let seed = 1; seed <= 20; seed += 1) {
      const provider = new World.Provider(() => World.oneOf<World.Fate>("done", "declined", "away", "lost", "late", "hangs"));
      const ids = [...Array(6).keys()].map((n) => `o-${n}`);
      const simulated = Simulator.run(
        { seed, limitMillis: 3 * HOUR_MS },
        Effect.gen(function* () {
          const database = yield* MemoryDatabase.make;
          const until = (yield* World.nowMillis) + 60_000;
          const feed = (participant: Participant.Participant) =>
            Effect.forEach(
              ids,
              (id, n) =>
                Effect.gen(function* () {
                  const messages = n % 3 === 0 ? [Charge] : n % 3 === 1 ? [Charge, Refund] : [Refund, Charge];
                  for (const type of messages) {
                    yield* Effect.sleep(yield* World.oneOf(0, 50, 3_000));
                    yield* World.deliver(participant, envelope(type, id));
                  }
                }),
              { concurrency: "unbounded", discard: true },
            );
          const faults: Simulator.Faults = { crash: 0.01, delay: 0.1, delayMaxMillis: 1_000, downMaxMillis: 2_000, until };
          const process = Simulator.process("participant", living(provider, database, feed), faults, () => (crashes += 1));
          yield* Effect.raceFirst(process, Effect.sleep(300_000));
          return World.answers(database).map((line) => line.split(" ").slice(0, 2).join(" "));
        }),
      );
      if (Exit.isFailure(simulated.exit)) throw new Error(`seed ${seed}: ${Simulator.explain(simulated.exit)}`);
      const answers = simulated.exit.value;
      for (const [n, id] of ids.entries()) {
        const key = World.stepKey(id);
        const [charges, refunds] = [provider.count(key), provider.count(`${key}/undo`)];
        const told = answers.filter((line) => line.endsWith(` ${key}`)).map((line) => line.split(" ")[0] ?? "");
        expect([seed, id, charges <= 1, refunds <= charges]).toEqual([seed, id, true, true]);
        if (n % 3 === 0) expect([seed, id, told]).toEqual([seed, id, [charges === 1 ? "payment.charged.v1" : "payment.declined.v1"]]);
        else if (told.includes("payment.refunded.v1")) expect([seed, id, refunds]).toEqual([seed, id, charges]);
        else expect([seed, id, told.at(-1)]).toEqual([seed, id, "payment.refund-refused.v1"]);
      }
    }
    expect(crashes).toBeGreaterThan(30);
  });
});
