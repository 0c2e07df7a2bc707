/** The stored form of a saga's instance, whatever it remembers; and what becomes of a message without one. */
import { Option, Schema, SchemaGetter } from "effect";
import type * as Message from "../Message.ts";
import type { Definition } from "./SagaDefinition.ts";
import type { Instance } from "./SagaState.ts";

const Kept = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("Done"), json: Schema.Unknown }),
  Schema.Struct({ _tag: Schema.Literal("Failed"), reason: Schema.String, isTransient: Schema.Boolean }),
]);

const StepState = Schema.Struct({
  status: Schema.Literals(["pending", "skipped", "sent", "waiting", "done", "failed", "undoing", "undone", "undoRefused"]),
  round: Schema.Int,
  attempts: Schema.Int,
  dueAt: Schema.optionalKey(Schema.Int),
  waits: Schema.optionalKey(Schema.Struct({ for: Schema.Literals(["pause", "signal"]), reason: Schema.String })),
  kept: Schema.optionalKey(Kept),
});

const AuditEntry = Schema.Struct({
  at: Schema.Int,
  action: Schema.Literals(["resume", "resolve"]),
  step: Schema.NullOr(Schema.String),
  by: Schema.String,
  note: Schema.String,
});

export const Status = Schema.Literals(["running", "compensating", "completed", "compensated", "compensationFailed"]);

/** Where a key is absent, `value`. */
const orElse = <A, E>(schema: Schema.Codec<A, E>, value: A) =>
  Schema.optionalKey(schema).pipe(
    Schema.decodeTo(Schema.toType(schema), {
      decode: SchemaGetter.transformOptional((found: Option.Option<A>) => Option.orElseSome(found, () => value)),
      encode: SchemaGetter.passthrough(),
    }),
  );

/** An instance whose data has the schema `data`. */
export const schemaOf = <D, E>(data: Schema.Codec<D, E>) =>
  Schema.Struct({
    saga: Schema.String,
    version: Schema.Int,
    id: Schema.String,
    status: Status,
    data,
    steps: Schema.Record(Schema.String, StepState),
    failure: Schema.NullOr(Schema.Struct({ step: Schema.String, reason: Schema.String })),
    startedAt: Schema.Int,
    // Absent in 0.1.0.
    wakeAt: orElse(Schema.NullOr(Schema.Int), null),
    wakes: orElse(Schema.Int, 0),
    audit: Schema.optionalKey(Schema.Array(AuditEntry)),
  });

/** The defect that makes the message fail alone, where the definition says so: its commit is rolled back, and the inbox forgets it. */
export const expectKnown = <D, C>(
  { name, unknownInstance }: Definition<D, C>,
  instance: Instance<unknown> | null,
  { type, key }: Message.Envelope,
): void => {
  if (instance === null && unknownInstance === "deadLetter")
    throw new Error(`${type} is for the instance "${key}" of ${name}, which is not there`);
};
