/** What happened, for people: a line an event, and as a Mermaid sequence diagram. */
import { type Cause, DEADLINE, type Decision, NOTHING, START, typeOf } from "./Decisions.ts";
import type { Broken } from "./Exploration.ts";
import type { Handling, Move } from "./World.ts";

export const LOST = "everything on its way is lost, and from here on nothing is";

export const lines = (broken: Broken): ReadonlyArray<string> =>
  told(broken).map(({ move, before }) => (move === null ? LOST : lineOf(move, before)));

/** Each move, and what the saga was before it. Null: everything on its way is lost. */
const told = ({ moves, afterwards }: Broken): ReadonlyArray<{ readonly move: Move | null; readonly before: string }> => {
  let before = "running";
  return [...moves, ...(afterwards === null ? [] : [null, ...afterwards])].map((move) => {
    const each = { move, before };
    if (move?._tag === "Decision") before = statusOf(move);
    return each;
  });
};

const lineOf = (move: Move, before: string): string => {
  switch (move._tag) {
    case "Decision":
      return [`${causeOf(move.cause)}${sendsOf(move)}`, ...notesOf(move, before)].join(", ");
    case "Handling":
      return `"${move.call.step.name}" gets ${typeOf(move.call, move.kind)}: ${became(move)}`;
    case "Tearing":
      return `${causeOf(move.decision.cause)}${sendsOf(move.decision)}, and a crash loses all but ${leftOf(move.left)}`;
  }
};

const statusOf = ({ next }: Decision): string => next.instance?.status ?? "running";

/** What decided, and what the saga is now if it was not. */
const notesOf = (decision: Decision, before: string): ReadonlyArray<string> => {
  const status = statusOf(decision);
  return status === before ? decision.answers : [...decision.answers, `it is ${status}`];
};

const sendsOf = ({ sends }: Decision): string =>
  sends.length === 0 ? "" : ` → ${sends.map(({ call, kind }) => typeOf(call, kind)).join(", ")}`;

const leftOf = (left: "messages" | "timer"): string => (left === "messages" ? "the messages" : "that the timer is gone");

const became = ({ call, kind, effect, answer }: Handling): string => {
  if (kind === "undo" && effect === "done") return "it refuses";
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
  const all = told(broken);
  const lanes = [...new Set(all.flatMap(({ move }) => stepOf(move)?.step.name ?? []))];
  const laneOf = (name: string): string => `P${lanes.indexOf(name)}`;
  return [
    "sequenceDiagram",
    `  participant S as ${saga}`,
    ...lanes.map((name) => `  participant ${laneOf(name)} as ${name}`),
    ...all.flatMap(({ move, before }) => drawn(move, before, laneOf)).map((line) => `  ${line}`),
    `  Note over S: ✗ ${plain(broken.problem)}`,
    "",
  ].join("\n");
};

const stepOf = (move: Move | null): Handling["call"] | null => {
  if (move?._tag === "Handling") return move.call;
  const cause = move?._tag === "Decision" ? move.cause : move?._tag === "Tearing" ? move.decision.cause : null;
  return cause?._tag === "Answer" ? cause.call : null;
};

const drawn = (move: Move | null, before: string, laneOf: (name: string) => string): ReadonlyArray<string> => {
  if (move === null) return [`Note over S: ${LOST}`];
  switch (move._tag) {
    case "Handling": {
      const lane = laneOf(move.call.step.name);
      return [`S->>${lane}: ${typeOf(move.call, move.kind)}`, `Note over ${lane}: ${became(move)}`];
    }
    case "Decision":
      return decided(move, notesOf(move, before), laneOf);
    case "Tearing":
      return decided(move.decision, [`a crash loses all but ${leftOf(move.left)}`], laneOf);
  }
};

const decided = (decision: Decision, notes: ReadonlyArray<string>, laneOf: (name: string) => string): ReadonlyArray<string> => {
  const { cause } = decision;
  if (cause._tag !== "Answer") return [`Note over S: ${plain([causeOf(cause) + sendsOf(decision), ...notes].join(", "))}`];
  const answer = `${laneOf(cause.call.step.name)}-->>S: ${typeOf(cause.call, cause.kind)}`;
  const sends = sendsOf(decision).trimStart();
  const said = [...(sends === "" ? [] : [sends]), ...notes];
  return said.length === 0 ? [answer] : [answer, `Note over S: ${plain(said.join(", "))}`];
};

/** Mermaid ends a text at some characters. */
const plain = (text: string): string => text.replaceAll(/[;#"]/g, "");
