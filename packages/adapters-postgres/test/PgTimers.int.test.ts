/** Timers on a real server: what waits costs nothing, and time is the server's. */
import { type Timer, TimerPump, Timers, UnitOfWork } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Clock, Effect, Layer, ManagedRuntime } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";
import * as PgStores from "../src/PgStores.ts";
import * as PgTimers from "../src/PgTimers.ts";
import * as Database from "./Database.ts";

const server = realServer("postgres");

/** Enough that a scan of them all reads thousands of blocks. */
const WAITING = 300_000;

/** Blocks of 8 KiB: a few levels of an index, a leaf or two, and the row, with room for pages that were just split. */
const BLOCKS_MAX = 40;

const FUTURE = 4_102_444_800_000;
const HOUR_MS = 3_600_000;

interface Plan {
  readonly "Shared Hit Blocks": number;
  readonly "Shared Read Blocks": number;
}

interface Explained {
  readonly "QUERY PLAN": ReadonlyArray<{ readonly Plan: Plan }>;
}

/** `Timers` whose statements are explained instead of answered: the blocks of each. */
const explaining = (blocks: Array<number>) =>
  // Of its own: the layer of the run is shared.
  Layer.fresh(PgTimers.layer).pipe(
    Layer.provide(
      Layer.effect(
        PgClient.PgClient,
        Effect.map(PgClient.PgClient, (client) => ({
          ...client,
          query: (operation, text, values) =>
            client.query<Explained>(operation, `explain (analyze, buffers, format json) ${text}`, values).pipe(
              Effect.map(({ rows }) => {
                const plan = rows[0]?.["QUERY PLAN"][0]?.Plan;
                if (plan === undefined) throw new Error("no plan");
                blocks.push(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]);
                return { rows: [], count: 0 };
              }),
            ),
        })),
      ),
    ),
  );

/** This process's clock is off by so much; the server's is not. */
const clockOff =
  (millis: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Clock.clockWith((clock) =>
      Effect.provideService(effect, Clock.Clock, {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + millis,
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis),
        currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
        currentTimeNanos: clock.currentTimeNanos,
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: clock.monotonicTimeNanos,
        sleep: (duration) => clock.sleep(duration),
      }),
    );

describe.runIf(server !== null)("timers on a server", () => {
  let database: Database.Database;
  let runtime: ManagedRuntime.ManagedRuntime<PgStores.PgStores | PgClient.PgClient, unknown>;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    const client = PgClient.layer({ url: database.url, schema: "timers" });
    runtime = ManagedRuntime.make(PgStores.layerClient.pipe(Layer.provideMerge(client)));
    await runtime.runPromise(PgMigrations.up());
  });
  afterAll(async () => {
    await runtime.dispose();
    await database.drop();
  });

  const sql = (text: string) =>
    Effect.flatMap(PgClient.PgClient, (client) => client.query("Test.sql", text.replaceAll("TIMERS", `${client.tables}timers`)));

  const schedule = (timers: ReadonlyArray<Timer>) =>
    Effect.gen(function* () {
      yield* (yield* UnitOfWork).commit((yield* Timers).schedule(timers));
    });

  const timer = (owner: string, key: string, dueAt: number): Timer => ({ owner, key, name: "timeout", token: "t", dueAt });

  it.each([
    ["never analyzed", "select 1"],
    ["analyzed", "analyze TIMERS"],
  ])(`cost nothing while they wait: a look reads some blocks among ${WAITING} timers, %s`, (_, prepare) =>
    runtime.runPromise(
      Effect.gen(function* () {
        const owner = `many-${prepare}`;
        yield* sql(`insert into TIMERS (owner, key, name, token, due_at, claimable_at)
          select '${owner}', 'order-' || n, 'timeout', 't', at, at
          from generate_series(1, ${WAITING}) n, lateral (select now() + interval '1 year' + n * interval '1 second' as at) t`);
        yield* sql(prepare);
        const blocks: Array<number> = [];
        const look = Effect.gen(function* () {
          const timers = yield* Timers;
          yield* timers.claimDue(owner, TimerPump.PUMP_BATCH_MAX, 60_000);
          yield* timers.nextDueAt(owner);
        }).pipe(Effect.provide(explaining(blocks)));
        yield* look;
        expect(blocks).toHaveLength(2);
        for (const count of blocks) expect(count).toBeLessThan(BLOCKS_MAX);
        // Three are due: they cost what three cost.
        yield* schedule([1, 2, 3].map((n) => timer(owner, `due-${n}`, n)));
        blocks.length = 0;
        yield* look;
        expect(blocks[0]).toBeGreaterThan(0);
        for (const count of blocks) expect(count).toBeLessThan(3 * BLOCKS_MAX);
        expect((yield* (yield* Timers).claimDue(owner, 100, 60_000)).length).toBe(0);
      }),
    ),
  );

  it("are due by the server's clock: a process whose own is an hour off fires the same ones", () =>
    runtime.runPromise(
      Effect.gen(function* () {
        for (const offset of [-HOUR_MS, HOUR_MS]) {
          const owner = `offset${offset}`;
          const now = Date.now();
          yield* schedule([timer(owner, "past", now - 60_000), timer(owner, "soon", now + 200), timer(owner, "later", now + HOUR_MS / 2)]);
          const fired: Array<string> = [];
          const handle: TimerPump.Handle<Timers | UnitOfWork> = (due) =>
            Effect.gen(function* () {
              fired.push(...due.map(({ key }) => key));
              yield* (yield* UnitOfWork).commit((yield* Timers).complete(due));
            });
          // Each pass rests for no longer than the poll, whatever this process's clock says.
          const pump = Effect.repeat(TimerPump.pass(owner, handle), { until: () => Effect.succeed(fired.length === 2) });
          yield* pump.pipe(clockOff(offset));
          yield* TimerPump.pass(owner, handle).pipe(clockOff(offset));
          expect(fired).toEqual(["past", "soon"]);
          expect((yield* (yield* Timers).pending(owner, { after: null, max: 10 })).map(({ key }) => key)).toEqual(["later"]);
        }
      }),
    ));

  it("that a transaction holds are passed over by claims, which wait for nobody", () =>
    runtime.runPromise(
      Effect.gen(function* () {
        const owner = "held";
        yield* schedule([timer(owner, "moved", 1), timer(owner, "free", 2)]);
        const timers = yield* Timers;
        const claimed = yield* (yield* UnitOfWork).commit(
          Effect.gen(function* () {
            yield* timers.reschedule([timer(owner, "moved", FUTURE)]);
            // In a transaction of its own, beside this one.
            return yield* Effect.promise(() => runtime.runPromise(timers.claimDue(owner, 10, 60_000)));
          }),
        );
        expect(claimed.map(({ key }) => key)).toEqual(["free"]);
        expect(yield* timers.nextDueAt(owner)).toBeLessThan(FUTURE);
      }),
    ));
});
