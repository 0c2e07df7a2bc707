/**
 * What of a projection a service's rows depend on: the shape of the whole, which undos are ordered by and outcomes are read by, and
 * which steps are the service's own.
 */
import * as SagaShape from "../SagaShape.ts";
import type { Projection } from "./Choreography.ts";

/** Kept under this name, beside that of the whole, which has no "/" in it. */
export const nameOf = <D, C>({ service, whole }: Projection<D, C>): string => `${whole.name}/${service}`;

export const of = <D, C>(projection: Projection<D, C>): SagaShape.Shape => {
  const { service, whole, owns } = projection;
  const shape = SagaShape.of(whole);
  const steps = shape.steps.map((step) => ({
    ...step,
    messages: { ...step.messages, owner: [owns.has(step.name) ? service : "another service"] },
  }));
  return { ...shape, saga: nameOf(projection), steps };
};
