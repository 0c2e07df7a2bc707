/**
 * What a service knows of a choreographed saga: what it began with, and the outcomes of steps that it has heard of.
 *
 * Services hear outcomes in different orders. So what an instance remembers is no running value but a fold: over the start
 * and those outcomes that a step comes after, in the definition's order. Whoever computes it, whenever, it is the same.
 */
import { Schema } from "effect";
import type { Kept, Outcome, Step } from "../SagaStep.ts";

const KeptSchema = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("Done"), json: Schema.Unknown }),
  Schema.Struct({ _tag: Schema.Literal("Failed"), reason: Schema.String, isTransient: Schema.Boolean }),
]);

/** Outcomes by step, as JSON. */
export type Outcomes = { readonly [step: string]: Kept };
export const Outcomes: Schema.Codec<Outcomes, unknown> = Schema.Record(Schema.String, KeptSchema);

/** One outcome. */
export const OutcomeSchema: Schema.Codec<Kept, unknown> = KeptSchema;

export interface Known<D> {
  readonly start: D;
  readonly outcomes: Outcomes;
}

export const schemaOf = <D>(data: Schema.Codec<D, unknown>): Schema.Codec<Known<D>, unknown> =>
  Schema.Struct({ start: data, outcomes: Outcomes });

export const begin = <D>(start: D): Known<D> => ({ start, outcomes: {} });

export const learn = <D>(known: Known<D>, step: string, kept: Kept): Known<D> => ({
  ...known,
  outcomes: { ...known.outcomes, [step]: kept },
});

/** Done, and there is nothing to remember of it. */
export const DONE: Kept = { _tag: "Done", json: null };

/** What the instance remembers, as far as `counts` says. */
export const dataOf = <D, C>(steps: ReadonlyArray<Step<D, C>>, known: Known<D>, counts: (step: string) => boolean = () => true): D => {
  let data = known.start;
  for (const step of steps) {
    const kept = known.outcomes[step.name];
    if (kept === undefined || !counts(step.name)) continue;
    const outcome = use(step, data, kept);
    if (outcome?._tag === "Done") data = outcome.data;
  }
  return data;
};

const use = <D, C>(step: Step<D, C>, data: D, kept: Kept): Outcome<D> | null => {
  switch (step._tag) {
    case "Local":
      return null;
    case "Signal":
      return step.early.use(data, kept);
    case "Remote":
      return step.reply.use(data, kept);
  }
};
