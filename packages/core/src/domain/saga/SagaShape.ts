/**
 * What of a definition running instances depend on: names and shapes, not source text, texts for people or times. Two
 * definitions of one shape can go on with each other's instances.
 *
 * It does not say whether a change of shape is harmless: that is for whoever compares two of them.
 */
import { Schema } from "effect";
import { fnv1a } from "../Shard.ts";
import type { Definition } from "./SagaDefinition.ts";
import type { Step } from "./SagaStep.ts";

/** A JSON value with its object keys in order, so that equal shapes have equal texts. */
export interface Shape {
  readonly saga: string;
  /** What an instance remembers, as JSON Schema. */
  readonly data: unknown;
  readonly steps: ReadonlyArray<StepShape>;
}

export interface StepShape {
  readonly name: string;
  readonly kind: string;
  readonly after: ReadonlyArray<string>;
  readonly isConditional: boolean;
  readonly otherwise: string;
  /** Message types by what they are for; a local step has none. */
  readonly messages: { readonly [purpose: string]: ReadonlyArray<string> };
}

export const of = <D, C>({ name, data, steps }: Definition<D, C>): Shape => ({
  saga: name,
  data: canonical(Schema.toJsonSchemaDocument(data)),
  steps: steps.map(stepOf),
});

/** The shape in 16 hexadecimal digits. The same in every process and on every day; it finds accidents, not attacks. */
export const fingerprint = <D, C>(definition: Definition<D, C>): string => digest(of(definition));

/** The fingerprint of a shape. */
export const digest = (shape: Shape): string => {
  const text = JSON.stringify(canonical(shape));
  return [fnv1a(text), fnv1a(text.split("").toReversed().join(""))].map((half) => half.toString(16).padStart(8, "0")).join("");
};

const stepOf = <D, C>(step: Step<D, C>): StepShape => {
  const { name, kind, after, otherwise } = step;
  return { name, kind: `${kind} ${step._tag}`, after, isConditional: step.when !== null, otherwise, messages: messagesOf(step) };
};

const messagesOf = <D, C>(step: Step<D, C>): StepShape["messages"] => {
  if (step._tag === "Local") return {};
  const replies = { done: [step.done.type], failures: step.failures.map(({ type }) => type).toSorted() };
  if (step._tag === "Signal") return replies;
  const { sends, undo, probe, retryOn } = step;
  return {
    ...replies,
    sends: [sends.type],
    undo: undo === null ? [] : [undo.sends.type, undo.done.type, undo.refused?.type ?? ""],
    probe: probe === null ? [] : [probe.sends.type, probe.unseen.type],
    retryOn: retryOn === null ? [] : [retryOn.signal.type],
  };
};

const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  // Fields that have to be there: a set.
  return Object.fromEntries(
    entries.map(([key, each]) => [key, key === "required" && Array.isArray(each) ? each.map(String).toSorted() : canonical(each)]),
  );
};
