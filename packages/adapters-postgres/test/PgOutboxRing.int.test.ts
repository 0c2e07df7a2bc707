/** The outbox's ring of partitions on a real server: what is forgotten, how, and what others do meanwhile. */
import { Outbox, OUTBOX_SHARDS, type PublishVerdict, UnitOfWork } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer, ManagedRuntime } from "effect";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";
import * as PgOutboxRing from "../src/PgOutboxRing.ts";
import * as PgOutboxSql from "../src/PgOutboxSql.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Database from "./Database.ts";
import { message } from "./Samples.ts";

const server = realServer("postgres");
const SCHEMA = "ring";
const DAY_MS = 86_400_000;
const ROWS = 12_000;

type Runtime = ManagedRuntime.ManagedRuntime<PgStores.PgStores, unknown>;

describe.runIf(server !== null)("the ring of the outbox", () => {
  let database: Database.Database;
  let runtime: Runtime;
  let admin: pg.Client;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    runtime = ManagedRuntime.make(PgStores.layer({ url: database.url, schema: SCHEMA }));
    await runtime.context();
    admin = new pg.Client(database.url);
    await admin.connect();
  });
  afterAll(async () => {
    await admin.end();
    await runtime.dispose();
    await database.drop();
  });

  /** Rows as they were appended `days` ago, sent unless `state` says otherwise. */
  const appendedAgo = async (days: number, rows: number, state: "sent" | "pending" | "held" | "blocking" = "sent"): Promise<void> => {
    await admin.query(
      `insert into ${SCHEMA}.outbox
         (slot, id, shard, aggregatetype, aggregateid, type, topic, payload, occurred_at, correlation_id, created_at, sent_at, parked_at, parked_as)
       select floor(extract(epoch from at) / 43200)::bigint % 8, gen_random_uuid(), n % ${OUTBOX_SHARDS}, 't', 'k', 't', 't.t', '1', at, 'c', at,
         case when $3 = 'sent' then at end, case when $3 in ('held', 'blocking') then at end, case when $3 in ('held', 'blocking') then $3 end
       from generate_series(1, $2::int) n, lateral (select now() - $1::int * interval '1 day' as at) t`,
      [days, rows, state],
    );
  };

  const sweep = (keep = DAY_MS) => runtime.runPromise(Effect.flatMap(Outbox, (outbox) => outbox.sweep(Date.now() - keep)));

  const count = async (): Promise<number> => {
    const { rows } = await admin.query<{ readonly count: number }>(`select count(*)::int as count from ${SCHEMA}.outbox`);
    return rows[0]?.count ?? -1;
  };

  const filesOf = async (): Promise<ReadonlyArray<number>> => {
    const { rows } = await admin.query<{ readonly size: number }>(
      `select pg_relation_size(inhrelid)::float8 as size from pg_inherits where inhparent = '${SCHEMA}.outbox'::regclass order by inhrelid`,
    );
    return rows.map(({ size }) => size);
  };

  const clear = () => admin.query(`truncate ${SCHEMA}.outbox`);

  it("a row that nobody gives a slot gets that of its time, by the numbers that the sweep counts with", async () => {
    await runtime.runPromise(
      Effect.flatMap(UnitOfWork, (unit) => unit.commit(Effect.flatMap(Outbox, (outbox) => outbox.append([message("k", 1)])))),
    );
    const { rows } = await admin.query<{ readonly slot: number; readonly at: number }>(
      `select slot, extract(epoch from created_at)::float8 * 1000 as at from ${SCHEMA}.outbox`,
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]?.slot).toBe(Math.floor((rows[0]?.at ?? 0) / PgOutboxRing.PERIOD_MS) % PgOutboxRing.SLOTS);
    await clear();
  });

  it("a partition whose half day is past the retention is emptied as a whole: its files are gone", async () => {
    await appendedAgo(2, ROWS);
    await appendedAgo(0, 10);
    expect(await sweep()).toBe(ROWS);
    expect(await count()).toBe(10);
    expect((await filesOf()).filter((size) => size > 0)).toHaveLength(1);
    expect(await sweep()).toBe(0);
    await clear();
  });

  const rowsOf = async (): Promise<ReadonlyArray<{ readonly seq: number; readonly slot: number; readonly state: string }>> => {
    const { rows } = await admin.query<{ readonly seq: number; readonly slot: number; readonly state: string }>(
      `select seq::float8 as seq, slot, coalesce(parked_as, case when sent_at is null then 'pending' else 'sent' end) as state
       from ${SCHEMA}.outbox order by seq`,
    );
    return rows;
  };

  it("what is not sent moves along under its number, and the partition is emptied as a whole", async () => {
    await appendedAgo(2, 3, "pending");
    await appendedAgo(2, ROWS);
    await appendedAgo(2, 2, "held");
    await appendedAgo(2, 1, "blocking");
    const staying = (await rowsOf()).filter(({ state }) => state !== "sent");
    await appendedAgo(0, 1, "pending");
    expect(await sweep()).toBe(ROWS);
    const now = (await rowsOf()).at(-1)?.slot ?? -1;
    expect((await rowsOf()).slice(0, -1)).toEqual(staying.map((row) => ({ ...row, slot: now })));
    expect((await filesOf()).filter((size) => size > 0)).toHaveLength(1);
    expect(await sweep()).toBe(0);
    await clear();
  });

  it("a relay goes on with what moved along, in the order of all", async () => {
    await appendedAgo(2, 2 * OUTBOX_SHARDS, "pending");
    await appendedAgo(0, OUTBOX_SHARDS, "pending");
    const inOrder = (await rowsOf()).map(({ seq }) => seq);
    await sweep();
    expect((await rowsOf()).map(({ seq }) => seq)).toEqual(inOrder);
    const published = await runtime.runPromise(
      Effect.flatMap(Outbox, (outbox) =>
        outbox.drain(0, 10, (messages) => Effect.succeed(messages.map((): PublishVerdict => "Published"))),
      ),
    );
    expect(published).toMatchObject({ _tag: "Drained", published: 3 });
    await clear();
  });

  it("a partition with more than can move along is kept, and published from where it is", async () => {
    await appendedAgo(2, 10_001, "pending");
    await appendedAgo(2, 5);
    const before = await rowsOf();
    expect(await sweep()).toBe(0);
    expect(await rowsOf()).toEqual(before);
    await clear();
  });

  it("a partition that the ring has come around to is used on: what is old in it goes with it", async () => {
    await appendedAgo(4, ROWS);
    await appendedAgo(0, 10);
    expect((await filesOf()).filter((size) => size > 0)).toHaveLength(1);
    expect(await sweep()).toBe(0);
    expect(await count()).toBe(ROWS + 10);
    await clear();
  });

  it("rows can be marked while the table is in a publication of updates", async () => {
    await appendedAgo(0, OUTBOX_SHARDS, "pending");
    await admin.query(`create publication ring_all for table ${SCHEMA}.outbox`);
    const drained = await runtime.runPromise(
      Effect.flatMap(Outbox, (outbox) =>
        outbox.drain(0, 10, (messages) => Effect.succeed(messages.map((): PublishVerdict => "Published"))),
      ),
    );
    expect(drained).toMatchObject({ _tag: "Drained", published: 1 });
    await admin.query("drop publication ring_all");
    await clear();
  });

  it("a partition in use is left for the next sweep; meanwhile others read and write it", async () => {
    await appendedAgo(2, 100);
    await appendedAgo(0, 64);
    const reader = new pg.Client(database.url);
    await reader.connect();
    await reader.query(`begin; select count(*) from ${SCHEMA}.outbox`);
    const sweeping = sweep();
    const drained = runtime.runPromise(
      Effect.flatMap(Outbox, (outbox) =>
        outbox.drain(0, 10, (messages) => Effect.succeed(messages.map((): PublishVerdict => "Published"))),
      ),
    );
    expect(await drained).toMatchObject({ _tag: "Drained" });
    expect(await sweeping).toBe(0);
    await reader.query("commit");
    await reader.end();
    expect(await sweep()).toBe(100);
    await clear();
  });

  it("what was not published cannot be deleted, also not by a sweep of version 0.1", async () => {
    await appendedAgo(2, 1, "pending");
    await expect(admin.query(`delete from ${SCHEMA}.outbox`)).rejects.toThrow(/was not published cannot be deleted/);
    await clear();
  });

  it("a claim is a merge of index probes, and a mark touches one partition, whatever the statistics say", async () => {
    await appendedAgo(0, ROWS, "pending");
    await appendedAgo(1, ROWS, "sent");
    const sql = PgOutboxSql.of(`"${SCHEMA}".`);
    await admin.query("begin");
    await admin.query(sql.own, [1, 1]);
    const planOf = async (text: string, values: ReadonlyArray<unknown>): Promise<string> => {
      const { rows } = await admin.query<{ readonly "QUERY PLAN": string }>(`explain (analyze, costs off, timing off) ${text}`, [
        ...values,
      ]);
      return rows.map((row) => row["QUERY PLAN"]).join("\n");
    };
    const claim = await planOf(sql.claim, [1, 100]);
    expect(claim).toContain("Merge Append");
    expect(claim).not.toMatch(/Seq Scan|Sort Method/);
    const { rows: claimed } = await admin.query<{ readonly slot: number; readonly seq: string }>(
      `select slot, seq from ${SCHEMA}.outbox where shard = 1 and sent_at is null order by seq limit 100`,
    );
    const slot = claimed[0]?.slot ?? 0;
    const seqs = claimed.map(({ seq }) => seq);
    const mark = await planOf(sql.markSent, [slot, 1, seqs, seqs.at(0), seqs.at(-1)]);
    expect(mark).toMatch(new RegExp(`Index Scan using outbox_${slot}_\\w+ on .* \\(actual rows=100 `));
    expect(mark).not.toContain("Rows Removed by Filter");
    expect(mark).toContain("hashed SubPlan");
    expect(mark).not.toMatch(new RegExp(`outbox_${(slot + 1) % 8}_\\w+.*rows=`));
    await admin.query("rollback");
    await clear();
  });

  it("the migration carries rows over in their order: sent, pending and parked ones", async () => {
    const schema = "carried";
    const client = PgClient.layer({ url: database.url, schema });
    await Effect.runPromise(Effect.provide(PgMigrations.up(), client));
    const names = await Effect.runPromise(Effect.map(PgMigrations.load, (all) => all.map(({ name }) => name)));
    const back = names.length - names.findIndex((name) => name.startsWith("0004"));
    await Effect.runPromise(Effect.provide(PgMigrations.down(back), client));
    const insert = (key: string, n: number, sent: boolean, parked: boolean) =>
      admin.query(
        `insert into ${schema}.outbox (id, shard, aggregatetype, aggregateid, type, topic, payload, occurred_at, correlation_id, sent_at, parked_at)
         values (gen_random_uuid(), 7, 't', $1, 't', 't.t', to_jsonb($2::int), now(), 'c', $3, $4)`,
        [key, n, sent ? new Date() : null, parked ? new Date() : null],
      );
    await insert("a", 0, true, false);
    await insert("a", 1, false, true);
    for (let n = 2; n < 12; n += 1) await insert("a", n, false, false);
    await Effect.runPromise(Effect.provide(PgMigrations.up(), client));
    const drained: Array<unknown> = [];
    const stores = PgStores.layerClient.pipe(Layer.provide(client));
    const observed = Effect.gen(function* () {
      const outbox = yield* Outbox;
      const before = yield* outbox.backlog;
      yield* outbox.drain(7, 100, (messages) =>
        Effect.sync(() => {
          drained.push(...messages.map(({ payload }) => Number(payload)));
          return messages.map((): PublishVerdict => "Published");
        }),
      );
      return { before, parked: (yield* outbox.parked(10)).map(({ blocks, held }) => ({ blocks, held })) };
    });
    const { before, parked } = await Effect.runPromise(Effect.provide(observed, stores));
    expect(before).toMatchObject({ pending: 10, parked: 1, held: 0 });
    expect(drained).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(parked).toEqual([{ blocks: false, held: 0 }]);
  });
});
