/** `Inbox` on PostgreSQL: a primary key decides who was first. */
import { Inbox, type Verdict } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgSweep from "./PgSweep.ts";

export const layer: Layer.Layer<Inbox, never, PgClient> = Layer.effect(
  Inbox,
  Effect.map(PgClient, (client) => {
    // See the migration 0012_inbox_admit.
    const ADMIT = `select ${client.tables}inbox_admit($1, $2::text[]) as first`;
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
