/** How two shapes of a saga differ, by names: what a person reads who changed a definition under its old version. */
import type { Shape, StepShape } from "./SagaShape.ts";

/** One line a difference; none: they are equal. */
export const of = (was: Shape, is: Shape): ReadonlyArray<string> => {
  const gone = was.steps.filter(({ name }) => !is.steps.some((step) => step.name === name));
  const added = is.steps.filter(({ name }) => !was.steps.some((step) => step.name === name));
  // What is like another step but for its name was probably renamed.
  const renamed = gone.flatMap((old) => {
    const twin = added.find((step) => ofStep(old, { ...step, after: old.after }).length === 0);
    return twin === undefined ? [] : [[old, twin] as const];
  });
  const isRenamed = (step: StepShape): boolean => renamed.some((pair) => pair.includes(step));
  return [
    ...(same(was.data, is.data) ? [] : ["what an instance remembers has another shape"]),
    ...renamed.map(([old, step]) => `step "${old.name}" is called "${step.name}"`),
    ...gone.filter((step) => !isRenamed(step)).map(({ name }) => `step "${name}" is gone`),
    ...added.filter((step) => !isRenamed(step)).map(({ name }) => `step "${name}" is new`),
    ...is.steps.flatMap((step) => {
      const old = was.steps.find(({ name }) => name === step.name);
      return old === undefined ? [] : ofStep(old, step).map((change) => `step "${step.name}": ${change}`);
    }),
  ];
};

/** How a step differs, its name aside. */
export const ofStep = (was: StepShape, is: StepShape): ReadonlyArray<string> => {
  const purposes = [...new Set([...Object.keys(was.messages), ...Object.keys(is.messages)])].toSorted();
  return [
    ...(was.kind === is.kind ? [] : [`it is ${is.kind}, not ${was.kind}`]),
    ...(same(was.after, is.after) ? [] : [`it comes after ${list(is.after)}, not ${list(was.after)}`]),
    ...(was.isConditional === is.isConditional ? [] : [is.isConditional ? "it has a condition" : "it has no condition any more"]),
    ...(was.otherwise === is.otherwise ? [] : [`otherwise is ${is.otherwise}, not ${was.otherwise}`]),
    ...purposes
      .filter((purpose) => !same(was.messages[purpose] ?? [], is.messages[purpose] ?? []))
      .map((purpose) => `${purpose} is ${list(is.messages[purpose] ?? [])}, not ${list(was.messages[purpose] ?? [])}`),
  ];
};

const list = (names: ReadonlyArray<string>): string => names.filter((name) => name !== "").join(", ") || "nothing";

/** Shapes have their keys in order. */
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
