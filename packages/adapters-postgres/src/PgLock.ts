/** `Lock` on PostgreSQL: one row a name, which stays after a release so that its fence only ever grows. */
import { type Lease, Lock } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";

export const layer: Layer.Layer<Lock, never, PgClient> = Layer.effect(
  Lock,
  Effect.map(PgClient, (client) => {
    const sql = statements(client.tables);
    return {
      acquire: Effect.fnUntraced(function* (name: string, owner: string, ttlMillis: number) {
        const { rows } = yield* client.query<{ readonly fence: number }>("Lock.acquire", sql.acquire, [name, owner, ttlMillis]);
        const [row] = rows;
        return row === undefined ? null : { name, owner, fence: row.fence };
      }),
      renew: Effect.fnUntraced(function* (lease: Lease.Lease, ttlMillis: number) {
        const { count } = yield* client.query("Lock.renew", sql.renew, [lease.name, lease.owner, lease.fence, ttlMillis]);
        return count === 1 ? "Renewed" : "Lost";
      }),
      release: (lease) => Effect.asVoid(client.query("Lock.release", sql.release, [lease.name, lease.owner, lease.fence])),
    };
  }),
);

const statements = (tables: string) => ({
  acquire: `
insert into ${tables}locks as l (name, owner, fence, expires_at)
values ($1, $2, 1, clock_timestamp() + $3::float8 * interval '1 millisecond')
on conflict (name) do update set owner = excluded.owner, fence = l.fence + 1, expires_at = excluded.expires_at
where l.owner = excluded.owner or l.expires_at <= clock_timestamp()
returning fence::float8 as fence`,
  renew: `
update ${tables}locks set expires_at = clock_timestamp() + $4::float8 * interval '1 millisecond'
where name = $1 and owner = $2 and fence = $3::bigint and expires_at > clock_timestamp()`,
  release: `update ${tables}locks set expires_at = '-infinity' where name = $1 and owner = $2 and fence = $3::bigint`,
});
