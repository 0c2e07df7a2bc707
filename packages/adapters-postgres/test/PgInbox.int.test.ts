/** The inbox and its queue on a real server, where there is much of it: sweeps in steps, claims that cost what they hand over. */
import { Inbox, InboxQueue, UnitOfWork } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Effect, ManagedRuntime } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClaim from "../src/PgClaim.ts";
import * as PgClient from "../src/PgClient.ts";
import * as PgInboxQueueSql from "../src/PgInboxQueueSql.ts";
import * as PgStores from "../src/PgStores.ts";
import { SWEEP_MAX } from "../src/PgSweep.ts";
import * as Database from "./Database.ts";

const server = realServer("postgres");

/** Enough for a planner to prefer an index, and for a sort to be told from a range. */
const WAITING = 60_000;

describe.runIf(server !== null)("much of an inbox", () => {
  let database: Database.Database;
  let runtime: ManagedRuntime.ManagedRuntime<PgStores.PgStores | PgClient.PgClient, unknown>;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    runtime = ManagedRuntime.make(PgStores.layer({ url: database.url, schema: "inbox" }));
    await runtime.context();
  });
  afterAll(async () => {
    await runtime.dispose();
    await database.drop();
  });

  const sql = <Row extends object>(text: string, values: ReadonlyArray<string | number | boolean> = []) =>
    Effect.flatMap(PgClient.PgClient, (client) =>
      Effect.map(client.query<Row>("Test.sql", text.replaceAll("@", client.tables), values), ({ rows }) => rows),
    );

  it("is swept in steps that leave what is within its retention, and rows that somebody holds", async () => {
    const old = 2 * SWEEP_MAX + 7;
    const swept = await runtime.runPromise(
      Effect.gen(function* () {
        yield* sql(`insert into @inbox (consumer, message_id, admitted_at)
          select 'c', 'old-' || n, now() - interval '4 days' from generate_series(1, ${old}) n`);
        yield* sql(`insert into @inbox (consumer, message_id, admitted_at)
          select 'c', 'new-' || n, now() - interval '2 days' from generate_series(1, ${SWEEP_MAX + 1}) n`);
        const inbox = yield* Inbox;
        const unit = yield* UnitOfWork;
        const [{ before } = { before: 0 }] = yield* sql<{ readonly before: number }>(
          "select floor(extract(epoch from now() - interval '3 days') * 1000)::float8 as before",
        );
        const client = yield* PgClient.PgClient;
        const held = client.within("Test.sql", `select from ${client.tables}inbox where message_id = 'old-5' for update`);
        // Within the open transaction others' sweeps run on other connections.
        const first = yield* unit.commit(
          Effect.andThen(
            held,
            Effect.promise(() => runtime.runPromise(inbox.sweep(before))),
          ),
        );
        const second = yield* inbox.sweep(before);
        const left = yield* sql<{ readonly kind: string; readonly n: number }>(
          "select left(message_id, 3) as kind, count(*)::int as n from @inbox group by 1",
        );
        return { first, second, left };
      }),
    );
    expect(swept).toEqual({ first: old - 1, second: 1, left: [{ kind: "new", n: SWEEP_MAX + 1 }] });
  });

  it("waits in a queue whose statements read ranges of indexes, however much is ready, failed or held", async () => {
    const plans = await runtime.runPromise(
      Effect.gen(function* () {
        yield* sql(`insert into @inbox_queue (consumer, message_id, shard, lane, topic, partition_no, offset_no, type, key, record, state, next_at)
          select 'c', 'm-' || n, n % 2, case when n % 3 = 0 then n % 50 else n end, 't', n % 6, n, 'x', 'k', '{}',
            case n % 3 when 0 then 'held' when 1 then 'ready' else 'failed' end,
            case when n % 3 = 2 then now() + interval '1 hour' end
          from generate_series(1, ${WAITING}) n`);
        yield* sql("analyze @inbox_queue");
        const client = yield* PgClient.PgClient;
        const statements = PgInboxQueueSql.statements(client.tables);
        const lanes = "{1,3,6}";
        const explain = (text: string, values: ReadonlyArray<string | number | boolean>) =>
          Effect.map(sql<{ readonly "QUERY PLAN": string }>(`explain ${text}`, values), (rows) =>
            rows.map((row) => row["QUERY PLAN"]).join("\n"),
          );
        return {
          pendingShards: yield* explain(statements.pendingShards, ["c"]),
          due: yield* explain(statements.due, ["c", 1, 250]),
          behind: yield* explain(statements.behind, ["c", 1, lanes, "{k,l,m}", 10]),
          fresh: yield* explain(statements.fresh, ["c", 1, 250, true]),
          promote: yield* explain(statements.promote, ["c", 1, lanes]),
          remove: yield* explain(statements.remove, ["c", "{m-1,m-2}"]),
        };
      }),
    );
    for (const [name, plan] of Object.entries(plans)) expect(plan, name).not.toContain("Seq Scan");
    expect(plans.fresh).toContain("inbox_queue_ready_idx");
    // With late statistics each row would be compared with each other one.
    expect(plans.fresh).not.toContain("Join");
    expect(plans.due).toContain("inbox_queue_due_idx");
    expect(plans.behind).toContain("inbox_queue_held_idx");
    expect(plans.promote).toContain("inbox_queue_held_idx");
  });

  it("hands over large messages up to a size, never less than one: what is new, what is due again, and what is held behind it", async () => {
    const passes = await runtime.runPromise(
      Effect.gen(function* () {
        const large = `json_build_object('id', n, 'text', (select string_agg(md5(random()::text), '') from generate_series(1, ${PgClaim.BYTES_MAX / 3 / 32}) where n > 0))`;
        const insert = (lane: string, state: string) =>
          sql(`insert into @inbox_queue (consumer, message_id, shard, lane, topic, partition_no, offset_no, type, key, record, state, next_at)
            select 'large', '${state}-' || n, 1, ${lane}, 't', 0, n, 'x', 'k', ${large}, '${state}', case '${state}' when 'failed' then now() end
            from generate_series(1, 5) n`);
        yield* insert("n", "failed");
        yield* insert("1", "held");
        yield* insert("10 + n", "ready");
        const queue = yield* InboxQueue;
        const sizes: Array<number> = [];
        const pass = queue.process("large", 1, 1_000, "wait", (messages) =>
          Effect.sync(() => {
            sizes.push(messages.length);
            return messages.map(() => ({ _tag: "Handled" as const }));
          }),
        );
        for (let left = true; left;) {
          const result = yield* pass;
          left = result._tag === "Processed" && result.handled > 0;
        }
        return sizes;
      }),
    );
    // Of what failed, is held and is new three each, then what is left.
    expect(passes).toEqual([9, 6]);
  });

  it("hands over what is held behind several keys up to one size for all of them", async () => {
    const sizes = await runtime.runPromise(
      Effect.gen(function* () {
        const insert = (state: string, text: string) =>
          sql(`insert into @inbox_queue (consumer, message_id, shard, lane, topic, partition_no, offset_no, type, key, record, state, next_at)
            select 'several', '${state}-' || n, 1, n % 4, 't', 0, n, 'x', 'k' || n % 4, json_build_object('text', ${text}), '${state}',
              case '${state}' when 'failed' then now() end
            from generate_series(1, case '${state}' when 'failed' then 4 else 8 end) n`);
        yield* insert("failed", "''");
        yield* insert(
          "held",
          `(select string_agg(md5(random()::text), '') from generate_series(1, ${PgClaim.BYTES_MAX / 3 / 32} + 1) where n > 0)`,
        );
        const queue = yield* InboxQueue;
        const handed: Array<number> = [];
        yield* queue.process("several", 1, 1_000, "wait", (messages) => {
          handed.push(messages.length);
          return Effect.succeed(messages.map(() => ({ _tag: "Handled" }) as const));
        });
        return handed;
      }),
    );
    expect(sizes).toEqual([4 + 3]);
  });

  it("of two keys with one hash, hands over what is held behind the one that is due, not behind the one that is not", async () => {
    const handed = await runtime.runPromise(
      Effect.gen(function* () {
        yield* sql(`insert into @inbox_queue (consumer, message_id, shard, lane, topic, partition_no, offset_no, type, key, record, state, next_at)
          values ('twins', 'a1', 1, 7, 't', 0, 1, 'x', 'a', '{"id":"a1"}', 'failed', now()),
            ('twins', 'b1', 1, 7, 't', 0, 2, 'x', 'b', '{"id":"b1"}', 'failed', now() + interval '1 hour'),
            ('twins', 'b2', 1, 7, 't', 0, 3, 'x', 'b', '{"id":"b2"}', 'held', null),
            ('twins', 'a2', 1, 7, 't', 0, 4, 'x', 'a', '{"id":"a2"}', 'held', null)`);
        const queue = yield* InboxQueue;
        const ids: Array<string> = [];
        yield* queue.process("twins", 1, 1_000, "wait", (messages) => {
          ids.push(...messages.map(({ message }) => message.id));
          return Effect.succeed(messages.map(() => ({ _tag: "Handled" }) as const));
        });
        return ids;
      }),
    );
    expect(handed).toEqual(["a1", "a2"]);
  });

  it("holds each message of a stuck key once, and hands over the others", async () => {
    const counts = await runtime.runPromise(
      Effect.gen(function* () {
        yield* sql(`insert into @inbox_queue (consumer, message_id, shard, lane, topic, partition_no, offset_no, type, key, record, state, next_at)
          values ('stuck', 'head', 1, 7, 't', 0, 0, 'x', 'k', '{}', 'failed', now() + interval '1 hour')`);
        yield* sql(`insert into @inbox_queue (consumer, message_id, shard, lane, topic, partition_no, offset_no, type, key, record)
          select 'stuck', 's-' || n, 1, 7, 't', 0, n, 'x', 'k', '{}'::json from generate_series(1, 2500) n
          union all select 'stuck', 'free', 1, 8, 't', 0, 9999, 'x', 'other', '{}'::json`);
        const queue = yield* InboxQueue;
        const pass = queue.process("stuck", 1, 1_000, "wait", (messages) =>
          Effect.succeed(messages.map(() => ({ _tag: "Handled" }) as const)),
        );
        return [yield* pass, yield* pass, yield* pass, yield* pass];
      }),
    );
    expect(counts.map((each) => (each._tag === "Processed" ? [each.held, each.handled] : []))).toEqual([
      [1_000, 0],
      [1_000, 0],
      [500, 1],
      [0, 0],
    ]);
  });
});
