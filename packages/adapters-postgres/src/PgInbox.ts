/** `Inbox` on PostgreSQL: a primary key decides who was first. */
import { Inbox, type Verdict } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgSweep from "./PgSweep.ts";

export const layer: Layer.Layer<Inbox, never, PgClient> = Layer.effect(
  Inbox,
  Effect.map(PgClient, (client) => {
    // In key order, so that two batches never wait for each other. The insert waits for a concurrent one of the same id. Nearly always
    // all of them are new, and one row says so.
    const ADMIT = `
with admitted as (
  insert into ${client.tables}inbox (consumer, message_id)
  select $1, id from unnest($2::text[]) as m(id) order by id
  on conflict do nothing returning message_id
)
select case when count(*) < cardinality($2::text[]) then coalesce(array_agg(message_id), '{}') end as first from admitted`;
    return {
      admit: Effect.fnUntraced(function* (consumer: string, messageIds: ReadonlyArray<string>) {
        const asked = new Set(messageIds);
        const { rows } = yield* client.within<{ readonly first: ReadonlyArray<string> | null }>("Inbox.admit", ADMIT, [
          consumer,
          [...asked],
        ]);
        const first = rows[0]?.first ?? null;
        const admitted = first === null ? asked : new Set(first);
        return messageIds.map((id): Verdict => (admitted.delete(id) ? "First" : "Duplicate"));
      }),
      sweep: PgSweep.make(client, "Inbox.sweep", "inbox", "admitted_at"),
    };
  }),
);
