/**
 * `DeadLetters` on PostgreSQL. It must be able to keep what no other table takes: the payload is bytes, and a NUL in any
 * other field (which PostgreSQL's text cannot hold) becomes U+FFFD.
 */
import { type DeadLetter, DeadLetters } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgText from "./PgText.ts";
import * as PgTime from "./PgTime.ts";

export const layer: Layer.Layer<DeadLetters, never, PgClient> = Layer.effect(
  DeadLetters,
  Effect.map(PgClient, (client) => {
    const sql = statements(client.tables);
    return {
      append: (letters) => Effect.asVoid(client.within("DeadLetters.append", sql.append, columnsOf(letters))),
      list: Effect.fnUntraced(function* (consumer: string, max: number) {
        const { rows } = yield* client.query<LetterRow>("DeadLetters.list", sql.list, [consumer, max]);
        return rows.map(letterOf);
      }),
      remove: (consumer, messageIds) =>
        Effect.asVoid(client.within("DeadLetters.remove", sql.remove, [consumer, messageIds.map(PgText.storable)])),
    };
  }),
);

const COLUMNS = `consumer, message_id, position, problem, detail, attempts, at, type, topic, key, occurred_at, correlation_id,
  causation_id, step_key, saga, traceparent, tracestate, payload`;

const statements = (tables: string) => ({
  append: `
insert into ${tables}dead_letters (${COLUMNS})
select consumer, message_id, position, problem, detail, attempts, ${PgTime.moment("at")}, type, topic, key, ${PgTime.moment("occurred_at")},
  correlation_id, causation_id, step_key, saga, traceparent, tracestate, decode(payload, 'base64')
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::float8[], $8::text[], $9::text[], $10::text[],
  $11::float8[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[])
  with ordinality as l(${COLUMNS}, ordinal) order by ordinal
on conflict (consumer, message_id) do nothing`,
  list: `
select consumer, message_id, position, problem, detail, attempts, ${PgTime.millis("at")} as at, type, topic, key,
  ${PgTime.millis("occurred_at")} as occurred_at, correlation_id, causation_id, step_key, saga, traceparent, tracestate,
  encode(payload, 'base64') as payload
from ${tables}dead_letters d where consumer = $1 order by d.at, seq limit $2::int`,
  remove: `delete from ${tables}dead_letters where consumer = $1 and message_id = any($2::text[])`,
});

interface LetterRow {
  readonly consumer: string;
  readonly message_id: string;
  readonly position: string;
  readonly problem: string;
  readonly detail: string;
  readonly attempts: number;
  readonly at: number;
  readonly type: string;
  readonly topic: string;
  readonly key: string;
  readonly occurred_at: number;
  readonly correlation_id: string;
  readonly causation_id: string | null;
  readonly step_key: string | null;
  readonly saga: string | null;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  readonly payload: string;
}

const letterOf = (row: LetterRow): DeadLetter => ({
  consumer: row.consumer,
  position: row.position,
  problem: row.problem,
  detail: row.detail,
  attempts: row.attempts,
  at: row.at,
  message: {
    id: row.message_id,
    type: row.type,
    topic: row.topic,
    key: row.key,
    occurredAt: row.occurred_at,
    correlationId: row.correlation_id,
    causationId: row.causation_id,
    stepKey: row.step_key,
    saga: row.saga,
    traceparent: row.traceparent,
    tracestate: row.tracestate,
    payload: Buffer.from(row.payload, "base64").toString("utf8"),
  },
});

const columnsOf = (letters: ReadonlyArray<DeadLetter>) => {
  const text = (of: (letter: DeadLetter) => string) => letters.map((letter) => PgText.storable(of(letter)));
  const nullable = (of: (letter: DeadLetter) => string | null) =>
    letters.map((letter) => {
      const value = of(letter);
      return value === null ? null : PgText.storable(value);
    });
  return [
    text((letter) => letter.consumer),
    text((letter) => letter.message.id),
    text((letter) => letter.position),
    text((letter) => letter.problem),
    text((letter) => letter.detail),
    letters.map((letter) => letter.attempts),
    letters.map((letter) => letter.at),
    text((letter) => letter.message.type),
    text((letter) => letter.message.topic),
    text((letter) => letter.message.key),
    letters.map((letter) => letter.message.occurredAt),
    text((letter) => letter.message.correlationId),
    nullable((letter) => letter.message.causationId),
    nullable((letter) => letter.message.stepKey),
    nullable((letter) => letter.message.saga),
    nullable((letter) => letter.message.traceparent),
    nullable((letter) => letter.message.tracestate),
    letters.map((letter) => Buffer.from(letter.message.payload, "utf8").toString("base64")),
  ];
};
