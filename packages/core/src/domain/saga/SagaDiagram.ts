/**
 * A saga as Mermaid text, derived from its definition, so that the picture cannot disagree with the program; with an instance,
 * what became of its steps is marked: done, under way, undone, stuck.
 *
 * - `states`: down through the steps, back through the undos of those that have one.
 * - `sequence`: who is asked what, and answers what.
 *
 * They do not draw that a step is asked again, nor, without an instance, the undo that is refused for good: those may happen
 * to any of them.
 */
import { Duration } from "effect";
import type { Definition } from "./SagaDefinition.ts";
import { mayTurn } from "./SagaRules.ts";
import { type Instance, stateOf, type StepState } from "./SagaState.ts";
import type { RemoteStep, Step } from "./SagaStep.ts";

/** What is drawn of an instance; also of the row at home of one without a coordinator. */
export type Drawn = Pick<Instance<unknown>, "version" | "status" | "steps" | "failure">;

/** Mermaid `stateDiagram-v2` text. */
export const states = <D, C>(definition: Definition<D, C>, instance: Drawn | null = null): string => {
  const { steps } = definition;
  const undos = steps.filter(hasUndo);
  const last = steps.filter(({ name }) => !steps.some(({ after }) => after.includes(name)));
  return [
    "stateDiagram-v2",
    ...steps.map((step) => `  state "${textOf(step)}" as ${idOf(step.name)}`),
    ...undos.toReversed().map(({ name }) => `  state "undo ${name}" as ${undoIdOf(name)}`),
    ...steps.flatMap(({ name, after }) => (after.length === 0 ? ["[*]"] : after.map(idOf)).map((from) => `  ${from} --> ${idOf(name)}`)),
    ...last.map(({ name }) => `  ${idOf(name)} --> completed`),
    ...steps.flatMap((step) => turnsOf(definition, step)),
    ...undos.toReversed().flatMap(({ name }) => ends(latest(steps, ancestors(steps, name))).map((to) => `  ${undoIdOf(name)} --> ${to}`)),
    "  completed --> [*]",
    "  compensated --> [*]",
    "  classDef pivot stroke-width:3px",
    ...steps.flatMap(({ kind, name }) => (kind === "pivot" ? [`  class ${idOf(name)} pivot`] : [])),
    ...(instance === null ? [] : marksOf(steps, instance)),
    "",
  ].join("\n");
};

/** Mermaid `sequenceDiagram` text: how it goes when all goes well, and how it is undone; of an instance, what happened. */
export const sequence = <D, C>(definition: Definition<D, C>, instance: Drawn | null = null): string => {
  const { steps, name } = definition;
  const forth = steps.flatMap((step) => askedOf(name, step, instance === null ? null : stateOf(instance, step.name)));
  const back = steps.toReversed().flatMap((step) => undoneOf(name, step, instance === null ? null : stateOf(instance, step.name)));
  const others = new Set(steps.flatMap((step) => (step._tag === "Remote" ? [step.sends.topic] : [])));
  return [
    "sequenceDiagram",
    `  participant ${lane(name)} as ${name} v${instance?.version ?? definition.version}`,
    ...[...others].map((topic) => `  participant ${lane(topic)} as ${topic}`),
    ...forth,
    ...(instance === null && back.length > 0 ? ["  opt it turns around", ...back.map((line) => `  ${line}`), "  end"] : back),
    ...(instance === null ? [] : [`  Note over ${lane(name)}: ${endOf(instance)}`]),
    "",
  ].join("\n");
};

/** A prefix keeps names apart from Mermaid's words, such as `end`. */
const idOf = (name: string): string => `do_${name.replaceAll(/[^A-Za-z0-9]/g, "_")}`;

const undoIdOf = (name: string): string => `un${idOf(name)}`;

const lane = (name: string): string => `at_${name.replaceAll(/[^A-Za-z0-9]/g, "_")}`;

const hasUndo = <D, C>(step: Step<D, C>): step is RemoteStep<D> => step._tag === "Remote" && step.undo !== null;

const textOf = <D, C>(step: Step<D, C>): string => {
  const condition = step.when === null ? "" : "<br/>if its condition holds";
  if (step._tag === "Remote") return `${step.name}<br/>${step.sends.type}<br/>${millis(step.timeoutMillis)}${condition}`;
  if (step._tag === "Local") return `${step.name}${condition}`;
  const types = step.awaits.map(({ type }) => type).join(", ");
  return `${step.name}<br/>awaits ${types}${step.timeoutMillis === null ? "" : `<br/>${millis(step.timeoutMillis)}`}${condition}`;
};

const millis = (time: number): string => Duration.format(Duration.millis(time));

/** How a saga turns around at a step. A step that failed was not done; one that timed out may have been, and is undone itself. */
const turnsOf = <D, C>({ steps }: Definition<D, C>, step: Step<D, C>): ReadonlyArray<string> => {
  const begun = steps.filter(({ name }) => name !== step.name && !ancestors(steps, name).has(step.name));
  const before = ends(latest(steps, new Set(begun.map(({ name }) => name))));
  const turn = (why: string, to: ReadonlyArray<string>) => to.map((end) => `  ${idOf(step.name)} --> ${end} : ${why}`);
  if (step._tag === "Local") return turn("refused", before);
  if (!mayTurn(step)) return [];
  if (step._tag === "Signal") return turn(step.timeoutMillis === null ? "failed" : "failed, timed out", before);
  if (step.kind !== "compensatable") return turn(step.kind === "pivot" ? "refused" : "failed", before);
  const canFail = step.failures.length > 0;
  if (!hasUndo(step)) return turn(canFail ? "failed, timed out" : "timed out", before);
  return [...(canFail ? turn("failed", before) : []), ...turn("timed out", [undoIdOf(step.name)])];
};

/** All steps that come before. */
const ancestors = <D, C>(steps: ReadonlyArray<Step<D, C>>, name: string): ReadonlySet<string> => {
  const found = new Set<string>();
  // They are declared before it, each after its own.
  for (const each of steps.toReversed()) {
    if (each.name === name || found.has(each.name)) for (const before of each.after) found.add(before);
  }
  return found;
};

/** Of `among`, the steps with an undo that no other one of them comes after: whose undos begin. */
const latest = <D, C>(steps: ReadonlyArray<Step<D, C>>, among: ReadonlySet<string>): ReadonlyArray<string> => {
  const undoable = steps.filter((step) => among.has(step.name) && hasUndo(step));
  const covered = new Set(undoable.flatMap(({ name }) => [...ancestors(steps, name)]));
  return undoable.flatMap(({ name }) => (covered.has(name) ? [] : [name]));
};

const ends = (names: ReadonlyArray<string>): ReadonlyArray<string> => (names.length === 0 ? ["compensated"] : names.map(undoIdOf));

const MARKS = {
  done: "fill:#c8e6c9",
  running: "fill:#fff9c4",
  failed: "fill:#ffccbc",
  undone: "fill:#cfd8dc",
  stuck: "fill:#ef9a9a,stroke-width:3px",
};

const marksOf = <D, C>(steps: ReadonlyArray<Step<D, C>>, instance: Drawn): ReadonlyArray<string> => [
  ...Object.entries(MARKS).map(([name, style]) => `  classDef ${name} ${style}`),
  ...steps.flatMap((step) => {
    const [own, undo] = markOf(stateOf(instance, step.name).status);
    const marked = own === null ? [] : [`  class ${idOf(step.name)} ${own}`];
    if (undo === null) return marked;
    return hasUndo(step) ? [...marked, `  class ${undoIdOf(step.name)} ${undo}`] : [`  class ${idOf(step.name)} ${undo}`];
  }),
  ...(instance.status === "completed" || instance.status === "compensated" ? [`  class ${instance.status} done`] : []),
];

type Mark = keyof typeof MARKS;

/** Of the step, and of its undo. */
const markOf = (status: StepState["status"]): readonly [Mark | null, Mark | null] => {
  switch (status) {
    case "pending":
    case "skipped":
      return [null, null];
    case "sent":
    case "waiting":
      return ["running", null];
    case "done":
      return ["done", null];
    case "failed":
      return ["failed", null];
    case "undoing":
      return ["done", "running"];
    case "undone":
      return ["done", "undone"];
    case "undoRefused":
      return ["done", "stuck"];
  }
};

/** Null: no instance, all goes well. */
const askedOf = <D, C>(saga: string, step: Step<D, C>, state: StepState | null): ReadonlyArray<string> => {
  const status = state?.status ?? "done";
  if (status === "pending" || status === "skipped") return [];
  const own = lane(saga);
  if (step._tag === "Local") return [`  ${own}->>${own}: ${step.name}${status === "failed" ? " (refused)" : ""}`];
  if (step._tag === "Signal")
    return [`  Note over ${own}: ${step.name}: ${status === "sent" ? "awaits" : "has heard"} ${typesOf(step.awaits)}`];
  const to = lane(step.sends.topic);
  const asked = `  ${own}->>${to}: ${step.sends.type}${tries(state)}`;
  if (status === "sent") return [asked, `  Note over ${to}: ${step.name}: no answer yet`];
  if (status === "failed" || status === "waiting") return [asked, `  ${to}--x${own}: ${step.name} failed`];
  return [asked, `  ${to}-->>${own}: ${step.done.type}`];
};

const undoneOf = <D, C>(saga: string, step: Step<D, C>, state: StepState | null): ReadonlyArray<string> => {
  const status = state?.status ?? "undone";
  if (!hasUndo(step) || step.undo === null) return [];
  if (status !== "undoing" && status !== "undone" && status !== "undoRefused") return [];
  const [own, to] = [lane(saga), lane(step.undo.sends.topic)];
  const asked = `  ${own}->>${to}: ${step.undo.sends.type}`;
  if (status === "undoing") return [asked, `  Note over ${to}: undo ${step.name}: no answer yet`];
  if (status === "undone") return [asked, `  ${to}-->>${own}: ${step.undo.done.type}`];
  return [asked, `  ${to}--x${own}: undo ${step.name} refused`, `  Note over ${own}: stuck at ${step.name}, waits for a person`];
};

const typesOf = (types: ReadonlyArray<{ readonly type: string }>): string => types.map(({ type }) => type).join(", ");

const tries = (state: StepState | null): string => (state === null || state.round === 1 ? "" : ` (round ${state.round})`);

const endOf = ({ status, failure }: Drawn): string => (failure === null ? status : `${status}, ${failure.reason} at ${failure.step}`);
