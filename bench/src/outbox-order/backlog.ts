/**
 * `backlog`: what a relay pays for what waits. Two outboxes on one server, one with 1,000,000 rows waiting, one with 1,000;
 * drains in turn, the time from a drain's begin until its messages are handed over. Timers are measured with as many pending.
 */
import { Outbox, OUTBOX_SHARDS, type PublishVerdict, Timers } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { startPostgres } from "@tools/servers";
import { Effect, ManagedRuntime } from "effect";
import pg from "pg";
import { median, type Report, round, spread } from "../Report.ts";

export interface Options {
  readonly quick: boolean;
  readonly say: (line: string) => void;
}

const MANY = 1_000_000;
const FEW = 1_000;

/** An odd number of rounds has a median that was measured. */
const ROUNDS = { full: 11, quick: 5 };
/** Drains of one round: every shard once. Each takes what the small outbox has for it. */
const BATCH = 10;
const TIMERS_DUE = 100;
const OWNER = "bench";

type Runtime = ManagedRuntime.ManagedRuntime<PgStores.PgStores, unknown>;

export const run = async ({ quick, say }: Options): Promise<Report> => {
  const postgres = await startPostgres();
  const admin = new pg.Client(postgres.url);
  await admin.connect();
  const runtimeOf = (schema: string): Runtime => ManagedRuntime.make(PgStores.layer({ url: postgres.url, schema }));
  const [many, few] = [runtimeOf("many"), runtimeOf("few")];
  try {
    await many.context();
    await few.context();
    await fill(admin, "many", MANY);
    await fill(admin, "few", FEW);
    await fillTimers(admin, "many", MANY);
    await admin.query("vacuum analyze");
    const claims = { many: new Array<number>(), few: new Array<number>() };
    const drains = { many: new Array<number>(), few: new Array<number>() };
    const timers = { many: new Array<number>(), few: new Array<number>() };
    let wrong = 0;
    const rounds = ROUNDS[quick ? "quick" : "full"];
    // The first one warms up.
    for (let index = 0; index <= rounds; index += 1) {
      for (const [name, runtime] of [
        ["few", few],
        ["many", many],
      ] as const) {
        const measured = await drainAll(runtime);
        wrong += measured.wrong;
        await fill(admin, name, measured.drained);
        const due = await claimTimers(admin, name, runtime);
        wrong += due.wrong;
        if (index === 0) continue;
        claims[name].push(median(measured.claims));
        drains[name].push(measured.millis);
        timers[name].push(due.millis);
        say(`round ${index}: ${name} claim ${round(median(measured.claims))} ms, timers ${round(due.millis)} ms`);
      }
    }
    return report(claims, drains, timers, wrong);
  } finally {
    await many.dispose();
    await few.dispose();
    await admin.end();
    await postgres.stop();
  }
};

type Series = Readonly<Record<"many" | "few", ReadonlyArray<number>>>;

const report = (claims: Series, drains: Series, timers: Series, violations: number): Report => {
  const against = (series: Series): ReadonlyArray<number> => series.many.map((value, index) => value / (series.few[index] ?? Number.NaN));
  const ratios = { claim_1m_vs_1k: against(claims), drain_1m_vs_1k: against(drains), timers_1m_vs_0: against(timers) };
  const entries = Object.entries(ratios);
  return {
    bench: "backlog",
    ratios: Object.fromEntries(entries.map(([name, values]) => [name, round(median(values))])),
    absolute: {
      claim_1m_ms: round(median(claims.many)),
      claim_1k_ms: round(median(claims.few)),
      timers_claim_1m_ms: round(median(timers.many)),
      timers_claim_0_ms: round(median(timers.few)),
    },
    spread: Object.fromEntries(entries.map(([name, values]) => [name, spread(values)])),
    violations,
  };
};

/** Drains every shard once; how long each claim took. */
const drainAll = (runtime: Runtime) =>
  runtime.runPromise(
    Effect.gen(function* () {
      const outbox = yield* Outbox;
      const claims: Array<number> = [];
      const start = performance.now();
      let drained = 0;
      let wrong = 0;
      for (let shard = 0; shard < OUTBOX_SHARDS; shard += 1) {
        const began = performance.now();
        yield* outbox.drain(shard, BATCH, (messages) =>
          Effect.sync(() => {
            claims.push(performance.now() - began);
            drained += messages.length;
            if (messages.length !== BATCH) wrong += 1;
            return messages.map((): PublishVerdict => "Published");
          }),
        );
      }
      return { claims, drained, wrong, millis: performance.now() - start };
    }),
  );

/** A number of messages, the same for each shard. */
const fill = async (admin: pg.Client, schema: string, rows: number): Promise<void> => {
  await admin.query(
    `insert into ${schema}.outbox (id, shard, aggregatetype, aggregateid, type, topic, payload, occurred_at, correlation_id)
     select gen_random_uuid(), n % ${OUTBOX_SHARDS}, 'bench', 'key-' || n % 10000, 'bench.happened.v1', 'bench.happened',
       '{"lines":[{"sku":"tea","quantity":1}]}', now(), 'bench'
     from generate_series(1, $1::int) n`,
    [rows],
  );
};

const fillTimers = async (admin: pg.Client, schema: string, rows: number): Promise<void> => {
  await admin.query(
    `insert into ${schema}.timers (owner, key, name, token, due_at, claimable_at)
     select $2, 'key-' || n, 'timeout', 't', now() + interval '1 day' + n * interval '1 ms', now() + interval '1 day' + n * interval '1 ms'
     from generate_series(1, $1::int) n`,
    [rows, OWNER],
  );
};

/** A hundred fall due; how long it takes to claim them. */
const claimTimers = async (
  admin: pg.Client,
  schema: string,
  runtime: Runtime,
): Promise<{ readonly millis: number; readonly wrong: number }> => {
  await admin.query(
    `insert into ${schema}.timers (owner, key, name, token, due_at, claimable_at)
     select $2, 'due-' || n, 'timeout', 't', now() - interval '1 s', now() - interval '1 s' from generate_series(1, $1::int) n`,
    [TIMERS_DUE, OWNER],
  );
  const began = performance.now();
  const due = await runtime.runPromise(Effect.flatMap(Timers, (timers) => timers.claimDue(OWNER, TIMERS_DUE, 60_000)));
  const millis = performance.now() - began;
  await admin.query(`delete from ${schema}.timers where owner = $1 and key like 'due-%'`, [OWNER]);
  return { millis, wrong: due.length === TIMERS_DUE ? 0 : 1 };
};
