/** `Timers` on PostgreSQL. Time is the server's; a claim hides a timer by moving `claimable_at` past its lease. */
import { type Timer, type TimerMove, type TimerPage, Timers } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgText from "./PgText.ts";
import * as PgTime from "./PgTime.ts";

export const layer: Layer.Layer<Timers, never, PgClient> = Layer.effect(
  Timers,
  Effect.map(PgClient, (client) => {
    const sql = statements(client.tables);
    return {
      schedule: (timers) => {
        const last = [...new Map(timers.map((timer) => [nameOf(timer), timer])).values()];
        return Effect.asVoid(
          client.within("Timers.schedule", sql.schedule, [...keysOf(last), last.map((t) => t.token), last.map((t) => t.dueAt)]),
        );
      },
      reschedule: Effect.fnUntraced(function* (moves: ReadonlyArray<TimerMove>) {
        const last = [...new Map(moves.map((move) => [nameOf(move), move])).values()];
        const values = [...keysOf(last), last.map((move) => move.dueAt)];
        const { rows } = yield* client.within<KeyRow>("Timers.reschedule", sql.reschedule, values);
        const moved = new Set(rows.map(nameOf));
        return moves.map((move) => (moved.has(nameOf(move)) ? "Rescheduled" : "Missing"));
      }),
      cancel: (timers) => Effect.asVoid(client.within("Timers.cancel", sql.cancel, keysOf(timers))),
      complete: (timers) => Effect.asVoid(client.within("Timers.complete", sql.complete, [...keysOf(timers), timers.map((t) => t.token)])),
      claimDue: Effect.fnUntraced(function* (owner: string, max: number, leaseMillis: number) {
        const { rows } = yield* client.query<TimerRow>("Timers.claimDue", sql.claimDue, [owner, max, leaseMillis]);
        return rows.map(timerOf);
      }),
      nextDueAt: Effect.fnUntraced(function* (owner: string) {
        const { rows } = yield* client.query<{ readonly next: number | null }>("Timers.nextDueAt", sql.nextDueAt, [owner]);
        return rows[0]?.next ?? null;
      }),
      list: Effect.fnUntraced(function* (owner: string, key: string) {
        const { rows } = yield* client.query<TimerRow>("Timers.list", sql.list, [owner, key]);
        return rows.map(timerOf);
      }),
      pending: Effect.fnUntraced(function* (owner: string, { after, max }: TimerPage) {
        const values = [owner, after?.dueAt ?? null, after?.key ?? null, after?.name ?? null, max];
        const { rows } = yield* client.query<TimerRow>("Timers.pending", sql.pending, values);
        return rows.map(timerOf);
      }),
    };
  }),
);

const KEYS = "unnest($1::text[], $2::text[], $3::text[]";

/** `t` is the timer that `row` names; what it is found by is its key, the first in its index. */
const isTimerOf = (row: string): string =>
  ["owner", "key", "name"].map((column) => PgText.equal(`t.${column}`, `${row}.${column}`)).join(" and ");

const statements = (tables: string) => ({
  // In key order, as all writers of several rows.
  schedule: `
insert into ${tables}timers (owner, key, name, token, due_at, claimable_at)
select owner, key, name, token, ${PgTime.moment("due_at")}, ${PgTime.moment("due_at")}
from ${KEYS}, $4::text[], $5::float8[]) as t(owner, key, name, token, due_at) order by owner, key, name
on conflict (owner, key, name) do update set token = excluded.token, due_at = excluded.due_at, claimable_at = excluded.claimable_at`,
  reschedule: `
with moved as (
  select t.owner, t.key, t.name, ${PgTime.moment("m.due_at")} as due_at
  from ${tables}timers t join ${KEYS}, $4::float8[]) as m(owner, key, name, due_at) on ${isTimerOf("m")}
  where t.key = any($2::text[])
  order by t.owner, t.key, t.name for update of t
)
update ${tables}timers t set due_at = m.due_at, claimable_at = m.due_at from moved m
where t.key = any($2::text[]) and ${isTimerOf("m")} returning t.owner, t.key, t.name`,
  cancel: `
delete from ${tables}timers t using ${KEYS}) as k(owner, key, name)
where t.key = any($2::text[]) and ${isTimerOf("k")}`,
  complete: `
delete from ${tables}timers t using ${KEYS}, $4::text[]) as k(owner, key, name, token)
where t.key = any($2::text[]) and ${isTimerOf("k")} and t.token = k.token`,
  // Index (owner, claimable_at), which has to be asked for by its collation: costs what is due, however many are pending. The clock is read once, by a subquery: compared
  // with a volatile function, the index would be read to its end. Locked ones are being completed or claimed.
  claimDue: `
with due as (
  select owner, key, name from ${tables}timers
  where owner collate "POSIX" = $1 and claimable_at <= (select clock_timestamp()) order by claimable_at limit $2::int for update skip locked
), claimed as (
  update ${tables}timers t set claimable_at = clock_timestamp() + $3::float8 * interval '1 millisecond'
  from due where t.key = any(array(select key from due)) and ${isTimerOf("due")}
  returning t.owner, t.key, t.name, t.token, t.due_at
)
select owner, key, name, token, ${PgTime.millis("due_at")} as due_at from claimed order by due_at, key, name`,
  nextDueAt: `select ${PgTime.millis("min(claimable_at)")} as next from ${tables}timers where owner collate "POSIX" = $1`,
  list: `
select owner, key, name, token, ${PgTime.millis("due_at")} as due_at from ${tables}timers
where owner = $1 and key = $2 order by due_at, name`,
  pending: `
select owner, key, name, token, ${PgTime.millis("due_at")} as due_at from ${tables}timers
where owner = $1 and ($2::float8 is null or (due_at, key, name) > (${PgTime.moment("$2::float8")}, $3::text, $4::text))
order by due_at, key, name limit $5::int`,
});

interface KeyRow {
  readonly owner: string;
  readonly key: string;
  readonly name: string;
}

interface TimerRow extends KeyRow {
  readonly token: string;
  readonly due_at: number;
}

const timerOf = ({ owner, key, name, token, due_at }: TimerRow): Timer => ({ owner, key, name, token, dueAt: due_at });

const keysOf = (timers: ReadonlyArray<KeyRow>) => [
  timers.map((timer) => timer.owner),
  timers.map((timer) => timer.key),
  timers.map((timer) => timer.name),
];

const nameOf = ({ owner, key, name }: KeyRow): string => JSON.stringify([owner, key, name]);
