/**
 * A saga's steps as a Mermaid flowchart, derived from its definition, so that the picture cannot disagree with the program:
 * down through the steps, back through the undos of those that have one.
 *
 * It does not draw that a step is asked again, nor the undo that is refused for good: those may happen to any of them.
 */
import { Saga } from "@org/saga-core";
import { Duration } from "effect";

/** Mermaid `flowchart` text. */
export const mermaid = <D, C>(definition: Saga.Definition<D, C>): string => {
  const { steps } = definition;
  const undos = steps.filter(hasUndo).toReversed();
  return [
    "flowchart TD",
    `  start([${definition.name} v${definition.version}])`,
    ...steps.map((step) => `  ${nodeOf(step)}`),
    "  completed([completed])",
    ...undos.map((step) => `  ${undoIdOf(step)}[/"undo ${step.name}"/]`),
    "  compensated([compensated])",
    ...pairs(["start", ...steps.map(idOf), "completed"]).map(([from, to]) => `  ${from} --> ${to}`),
    ...steps.flatMap((step, index) => turnsOf(definition, step, index)).map(({ from, why, to }) => `  ${from} -. ${why} .-> ${to}`),
    ...pairs([...undos.map(undoIdOf), "compensated"]).map(([from, to]) => `  ${from} --> ${to}`),
    "",
  ].join("\n");
};

type Step<D, C> = Saga.Step<D, C>;

/** A prefix keeps step names apart from Mermaid's words, such as `end`. */
const idOf = <D, C>(step: Step<D, C>): string => `do_${step.name.replaceAll(/[^A-Za-z0-9]/g, "_")}`;

const undoIdOf = <D, C>(step: Step<D, C>): string => `un${idOf(step)}`;

const hasUndo = <D, C>(step: Step<D, C>): boolean => step._tag === "Remote" && step.undo !== null;

/** The pivot stands out; a local step, which is answered at once, has round corners. */
const nodeOf = <D, C>(step: Step<D, C>): string => {
  const detail = step._tag === "Remote" ? `<br/>${step.sends.type}<br/>${Duration.format(Duration.millis(step.timeoutMillis))}` : "";
  const text = `"${step.name}${detail}"`;
  if (step.kind === "pivot") return `${idOf(step)}{{${text}}}`;
  if (step._tag === "Signal") return `${idOf(step)}>${text}]`;
  return step._tag === "Remote" ? `${idOf(step)}[${text}]` : `${idOf(step)}(${text})`;
};

interface Turn {
  readonly from: string;
  readonly why: string;
  readonly to: string;
}

/** How a saga turns around at a step. A step that failed was not done; one that timed out may have been, and is undone itself. */
const turnsOf = <D, C>(definition: Saga.Definition<D, C>, step: Step<D, C>, index: number): ReadonlyArray<Turn> => {
  const from = idOf(step);
  const before = lastUndo(definition.steps.slice(0, index));
  const own = lastUndo(definition.steps.slice(0, index + 1));
  if (step._tag === "Local") return [{ from, why: "refused", to: before }];
  if (step._tag === "Signal") {
    return Saga.mayTurn(step) ? [{ from, why: step.timeoutMillis === null ? "failed" : "failed, timed out", to: before }] : [];
  }
  switch (step.kind) {
    case "compensatable":
      return before === own
        ? [{ from, why: "failed, timed out", to: before }]
        : [
            { from, why: "failed", to: before },
            { from, why: "timed out", to: own },
          ];
    case "pivot":
      return [{ from, why: "refused", to: before }];
    case "retriable":
      return Saga.mayTurn(step) ? [{ from, why: "failed", to: before }] : [];
  }
};

const lastUndo = <D, C>(steps: ReadonlyArray<Step<D, C>>): string => {
  const last = steps.findLast(hasUndo);
  return last === undefined ? "compensated" : undoIdOf(last);
};

const pairs = (items: ReadonlyArray<string>): ReadonlyArray<readonly [string, string]> =>
  items.slice(1).map((to, index): readonly [string, string] => [items[index] ?? to, to]);
