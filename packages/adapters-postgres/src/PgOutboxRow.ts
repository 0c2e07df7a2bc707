/** Rows of the outbox as values. */
import type { Message } from "@org/saga-core";
import { Effect } from "effect";

export interface MetaRow {
  readonly id: string;
  readonly type: string;
  readonly topic: string;
  readonly aggregateid: string;
  readonly occurred_at: number;
  readonly correlation_id: string;
  readonly causation_id: string | null;
  readonly step_key: string | null;
  readonly saga: string | null;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

/** Where a row is. */
export interface Place {
  readonly seq: number;
  readonly slot: number;
}

export interface ClaimedRow extends MetaRow, Place {
  readonly payload: string;
  /** Its topic and key wait behind a refused message. */
  readonly held: boolean;
}

export const metaOf = (row: MetaRow): Message.Meta => ({
  id: row.id,
  type: row.type,
  topic: row.topic,
  key: row.aggregateid,
  occurredAt: row.occurred_at,
  correlationId: row.correlation_id,
  causationId: row.causation_id,
  stepKey: row.step_key,
  saga: row.saga,
  traceparent: row.traceparent,
  tracestate: row.tracestate,
});

export const messageOf = (row: ClaimedRow): Message.Encoded => ({ ...metaOf(row), payload: row.payload });

/** One statement a partition: a batch has rows of one, or of two at the turn of a period. */
export const bySlot = <E, R>(
  rows: ReadonlyArray<Place>,
  run: (slot: number, seqs: ReadonlyArray<number>) => Effect.Effect<unknown, E, R>,
): Effect.Effect<void, E, R> =>
  Effect.forEach(
    Map.groupBy(rows, ({ slot }) => slot),
    ([slot, places]) =>
      run(
        slot,
        places.map(({ seq }) => seq),
      ),
    { discard: true },
  );

/** The lowest and the highest. */
export const rangeOf = (seqs: ReadonlyArray<number>): readonly [number, number] => [
  seqs.reduce((low, seq) => Math.min(low, seq), Number.POSITIVE_INFINITY),
  seqs.reduce((high, seq) => Math.max(high, seq), 0),
];
