/** What happened, for people: a line an event, and as a Mermaid sequence diagram. */
import { type Cause, DEADLINE, type Decision, NOTHING, START, typeOf } from "./Decisions.ts";
import type { Broken } from "./Exploration.ts";
import type { Handling, Move } from "./World.ts";

export const LOST = "everything on its way is lost, and from here on nothing is";

export const lines = ({ moves, afterwards }: Broken): ReadonlyArray<string> =>
  afterwards === null ? moves.map(lineOf) : [...moves.map(lineOf), LOST, ...afterwards.map(lineOf)];

const lineOf = (move: Move): string => {
  switch (move._tag) {
    case "Decision":
      return [causeOf(move.cause), ...move.answers].join(", ");
    case "Handling":
      return `"${move.call.step.name}" gets ${typeOf(move.call, move.kind)}: ${became(move)}`;
    case "Tearing":
      return `${causeOf(move.decision.cause)}, and a crash loses all but ${leftOf(move.left)}`;
  }
};

const leftOf = (left: "messages" | "timer"): string => (left === "messages" ? "the messages" : "that the timer is gone");

const became = ({ call, effect, answer }: Handling): string => {
  const round = call.round === 1 ? "" : ` in round ${call.round}`;
  return `${WORDS[effect]}${round}${answer === null ? ", no answer" : ""}`;
};

const WORDS: { readonly [effect in Handling["effect"]]: string } = {
  none: "not seen",
  done: "done",
  refused: "refused",
  deferred: "refused for now",
  undone: "undone",
  barred: "barred for ever",
  twice: "done once more",
};

const causeOf = (cause: Cause): string => {
  switch (cause._tag) {
    case "Start":
      return "start";
    case "Cancel":
      return "cancel";
    case "Resume":
      return "an operator resumes";
    case "Resolve":
      return `an operator has undone "${cause.step}" by hand`;
    case "Answer":
      return `"${cause.call.step.name}" answers ${typeOf(cause.call, cause.kind)}`;
    case "Signal":
      return `signal ${cause.type}`;
    case "Timer":
      return timerOf(cause.due, cause.isLast);
  }
};

const timerOf = (due: string, isLast: boolean): string => {
  if (due === NOTHING) return "the timer fires early";
  if (due === START || due === DEADLINE) return `it is time for ${due}`;
  return `"${due}" is due${isLast ? " for the last time" : ""}`;
};

/** A lane for the saga and one for each step that is told of. */
export const mermaid = (saga: string, broken: Broken): string => {
  const all = broken.afterwards === null ? broken.moves : [...broken.moves, null, ...broken.afterwards];
  const lanes = [...new Set(all.flatMap((move) => stepOf(move)?.step.name ?? []))];
  const laneOf = (name: string): string => `P${lanes.indexOf(name)}`;
  const text = ["sequenceDiagram", `  participant S as ${saga}`, ...lanes.map((name) => `  participant ${laneOf(name)} as ${name}`)];
  for (const move of all) text.push(...drawn(move, laneOf).map((line) => `  ${line}`));
  return [...text, `  Note over S: ✗ ${plain(broken.problem)}`, ""].join("\n");
};

const stepOf = (move: Move | null): Handling["call"] | null => {
  if (move?._tag === "Handling") return move.call;
  const cause = move?._tag === "Decision" ? move.cause : move?._tag === "Tearing" ? move.decision.cause : null;
  return cause?._tag === "Answer" ? cause.call : null;
};

const drawn = (move: Move | null, laneOf: (name: string) => string): ReadonlyArray<string> => {
  if (move === null) return [`Note over S: ${LOST}`];
  if (move._tag === "Handling") {
    const lane = laneOf(move.call.step.name);
    return [`S->>${lane}: ${typeOf(move.call, move.kind)}`, `Note over ${lane}: ${became(move)}`];
  }
  if (move._tag === "Tearing") return [...told(move.decision, laneOf), `Note over S: a crash loses all but ${leftOf(move.left)}`];
  const { status } = move.next.instance ?? {};
  const notes = status === undefined || status === "running" ? move.answers : [...move.answers, status];
  return [...told(move, laneOf), ...notes.map((note) => `Note over S: ${plain(note)}`)];
};

const told = ({ cause }: Decision, laneOf: (name: string) => string): ReadonlyArray<string> =>
  cause._tag === "Answer"
    ? [`${laneOf(cause.call.step.name)}-->>S: ${typeOf(cause.call, cause.kind)}`]
    : [`Note over S: ${plain(causeOf(cause))}`];

/** Mermaid ends a text at some characters. */
const plain = (text: string): string => text.replaceAll(/[;#"]/g, "");
