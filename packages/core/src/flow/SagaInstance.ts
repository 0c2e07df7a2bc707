/** The stored form of a saga's instance, whatever it remembers. */
import { Effect, Schema } from "effect";

const StepState = Schema.Struct({
  status: Schema.Literals(["pending", "sent", "done", "failed", "undoing", "undone", "undoRefused"]),
  round: Schema.Int,
  attempts: Schema.Int,
  dueAt: Schema.optionalKey(Schema.Int),
});

export const Status = Schema.Literals(["running", "compensating", "completed", "compensated", "compensationFailed"]);

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
    wakeAt: Schema.NullOr(Schema.Int).pipe(Schema.withDecodingDefaultKey(Effect.succeed(null))),
    wakes: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  });
