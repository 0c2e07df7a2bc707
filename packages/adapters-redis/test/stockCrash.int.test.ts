/** A process that dies before or after any one of its writes to Redis: what it was told is there, and nothing else is missing. */
import { OrderId, type StockCommand, StockLedger, StockLog } from "@org/saga-core";
import { Contract } from "@org/saga-core/testing";
import { realServer } from "@tools/servers/testing";
import { Deferred, Effect, Exit, Layer, Result, Scope } from "effect";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RedisClient, RedisConfig, RedisStockLog } from "../src/index.ts";
import { apple, keptSnapshots, receive, reserve } from "./StockLogWorld.ts";

const url = realServer("redis") ?? "";

const UNITS = 40;
const ROUNDS = 20;

/** Where the process dies: at its so-many-th command to the server. */
interface Death {
  readonly at: number;
  readonly when: "before" | "after";
  commands: number;
  readonly died: Deferred.Deferred<void>;
}

const mortalClient = (prefix: string, death: Death) =>
  Layer.effect(
    RedisClient.RedisClient,
    Effect.map(RedisClient.RedisClient, (client) => ({ ...client, wire: Effect.map(client.wire, (wire) => mortal(wire, death)) })),
  ).pipe(Layer.provide(RedisClient.layer), Layer.provide(RedisConfig.layer({ url, prefix })));

const mortal = (wire: RedisClient.Wire, death: Death): RedisClient.Wire => ({
  ...wire,
  ask: (operation, mode, run) => dying(death, wire.ask(operation, mode, run)),
});

const dying = <A, E>(death: Death, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    const turn = death.commands++;
    if (turn < death.at) return effect;
    const die = Effect.andThen(Deferred.succeed(death.died, undefined), Effect.never);
    // The dead send nothing.
    return turn === death.at && death.when === "after" ? Effect.andThen(effect, die) : die;
  });

const connect = (prefix: string, death: Death) =>
  Effect.flatMap(
    Layer.build(Layer.fresh(Layer.provide(RedisStockLog.layerWith({ snapshotAfter: 600 }), mortalClient(prefix, death)))),
    (context) => Effect.provide(StockLog, context),
  );

const alive = Effect.map(Deferred.make<void>(), (died): Death => ({ at: Number.POSITIVE_INFINITY, when: "before", commands: 0, died }));

const batches = (life: string): ReadonlyArray<ReadonlyArray<StockCommand>> =>
  Array.from({ length: ROUNDS }, (_, round) => [
    reserve(`${life}.${round}.a`),
    reserve(`${life}.${round}.b`),
    reserve(`${life}.${round}.c`),
    { _tag: "Commit", orderId: OrderId.make(`${life}.${round}.a`) },
    { _tag: "Release", orderId: OrderId.make(`${life}.${round}.b`) },
  ]);

/** Runs its batches, and remembers what it was told. */
const live = Effect.fnUntraced(function* (log: StockLog["Service"], life: string, told: Map<string, string>) {
  yield* log.open(0, 1, StockLedger.empty);
  yield* log.execute(0, 1, [receive(UNITS)]);
  for (const commands of batches(life)) {
    const verdict = yield* log.execute(0, 1, commands);
    if (verdict._tag === "Ended") return yield* Effect.die(new Error("nobody ended it"));
    verdict.answers.forEach((answer, index) => {
      const command = commands[index];
      if (command !== undefined && command._tag !== "Adjust" && Result.isSuccess(answer)) told.set(command.orderId, answer.success._tag);
    });
  }
});

const STATUS: Record<string, string> = { Reserved: "held", Committed: "committed", Released: "released" };

const judge = (view: StockLedger.StockView, told: ReadonlyMap<string, string>): void => {
  for (const [orderId, word] of told) expect([orderId, view.holds.get(OrderId.make(orderId))?.status]).toEqual([orderId, STATUS[word]]);
  const holds = [...view.holds.values()];
  const held = holds.filter((hold) => hold.status === "held").length;
  const committed = holds.filter((hold) => hold.status === "committed").length;
  expect(held + committed).toBeLessThanOrEqual(UNITS);
  if (view.skus.size > 0) expect(view.skus.get(apple)).toMatchObject({ onHand: UNITS, held, committed, shortage: 0 });
};

describe.runIf(url !== "")("the stock's log, when its process dies", () => {
  let admin: Redis;
  beforeAll(() => {
    admin = new Redis(url);
  });
  afterAll(() => admin.disconnect());

  const lifeAndDeath = (at: number, when: Death["when"]) =>
    Effect.gen(function* () {
      const prefix = yield* Contract.unique("crash");
      const told = new Map<string, string>();
      const death: Death = { at, when, commands: 0, died: yield* Deferred.make<void>() };
      const scope = yield* Scope.make();
      const log = yield* Scope.provide(connect(prefix, death), scope);
      yield* Effect.raceFirst(live(log, "first", told), Deferred.await(death.died));
      yield* Scope.close(scope, Exit.void);
      // Another process goes on, and a third one finds what both were told.
      yield* live(yield* connect(prefix, yield* alive), "second", told);
      const view = yield* (yield* connect(prefix, yield* alive)).read(0, 1);
      judge(view ?? StockLedger.empty, told);
      expect(told.size).toBeGreaterThanOrEqual(20);
      return { prefix, commands: death.commands };
    }).pipe(Effect.scoped);

  for (const when of ["before", "after"] as const) {
    test(`${when} any of its commands: whoever comes later finds all that it was told`, { timeout: 120_000 }, () =>
      Effect.gen(function* () {
        const whole = yield* lifeAndDeath(Number.POSITIVE_INFINITY, when);
        expect(whole.commands).toBeGreaterThan(ROUNDS + 10);
        for (let at = 0; at <= whole.commands; at++) yield* lifeAndDeath(at, when);
      }).pipe(Effect.runPromise),
    );
  }

  test("nowhere: the log is trimmed, and one snapshot is kept", () =>
    Effect.gen(function* () {
      const { prefix } = yield* lifeAndDeath(Number.POSITIVE_INFINITY, "before");
      expect((yield* keptSnapshots(admin, prefix)).length).toBe(1);
      expect(yield* Effect.promise(() => admin.xlen(`{stk:${prefix}:0}:log`))).toBeLessThan(ROUNDS);
    }).pipe(Effect.runPromise));
});
