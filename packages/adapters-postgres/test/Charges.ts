/**
 * A participant whose provider of payments is a table of its own, which nothing here rolls back: that a call begins, that it is
 * done, that somebody asks. It deduplicates nothing, and hangs where it is told to.
 */
import { Message, Participant } from "@org/saga-core";
import { Effect, Schema } from "effect";
import type pg from "pg";

export const NAME = "payment";

/** Shorter than anybody would have it: tests wait for them, in milliseconds. */
const LIMIT_MS = 1_000;
const SETTLES_WITHIN_MS = 500;
const RETRY_MS = { first: 200, max: 1_000 };

const Ref = Schema.Struct({ id: Schema.String });
const topic = { topic: "payment", key: ({ id }: typeof Ref.Type) => id };
const Charge = Message.command("payment.charge.v1", Ref, topic);
export const Charged = Message.event("payment.charged.v1", Ref, topic);

export const TABLES = "create table calls (n bigint generated always as identity, pid int not null, key text not null, at text not null)";

export interface Line {
  readonly pid: number;
  readonly key: string;
  readonly at: "begins" | "done" | "asked";
}

export const make = (outside: pg.Pool, hangsAt: string = "") => {
  const write = (key: string, at: Line["at"]) =>
    Effect.andThen(
      Effect.promise(() => outside.query("insert into calls (pid, key, at) values ($1, $2, $3)", [process.pid, key, at])),
      hangsAt === at ? Effect.never : Effect.void,
    );
  const isDone = (key: string) =>
    Effect.map(
      Effect.promise(() => outside.query("select from calls where key = $1 and at = 'done'", [key])),
      ({ rowCount }) => rowCount !== 0,
    );
  const charged = ({ id }: typeof Ref.Type) => Participant.done(Charged, { id });
  return Participant.make({
    name: NAME,
    limit: LIMIT_MS,
    settlesWithin: SETTLES_WITHIN_MS,
    retry: RETRY_MS,
    calls: [
      Participant.call(Charge, {
        perform: (body, key) => Effect.as(Effect.andThen(write(key, "begins"), write(key, "done")), charged(body)),
        probe: (body, key) => Effect.map(Effect.andThen(write(key, "asked"), isDone(key)), (found) => (found ? charged(body) : null)),
      }),
    ],
  });
};

export const keyOf = (id: string): string => `${id}:pay:1`;

/** The step's command, as it comes from the broker: the same message each time. */
export const ask = (id: string): Message.Envelope => ({
  ...{ id: `charge-${id}`, type: Charge.type, topic: Charge.topic, key: id, occurredAt: 0, correlationId: id, causationId: null },
  ...{ traceparent: null, tracestate: null, stepKey: keyOf(id), saga: "shop@1", body: { id } },
});
