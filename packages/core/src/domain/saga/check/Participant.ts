/**
 * A participant as a saga may rely on it: it does a key at most once, answers again as it answered before, and refuses a
 * command that arrives after its undo (tombstone).
 *
 * It decides freely what it grants and what it refuses. What it is asked, and what it answers, may be lost, late or repeated:
 * that is the network's.
 */
import type { RemoteStep } from "../SagaStep.ts";

/** What became of a key: `deferred`, refused for now; `barred`, undone before it was done; `twice`, what must never be. */
export const EFFECTS = ["none", "done", "refused", "deferred", "undone", "barred", "twice"] as const;
export type Effect = (typeof EFFECTS)[number];

/** Messages about a key. The first three go to the participant, the others come from it. */
export const KINDS = ["do", "probe", "undo", "done", "failed", "transient", "unseen", "undone", "undoRefused"] as const;
export type Kind = (typeof KINDS)[number];

/** What is asked comes before this index of `KINDS`. */
export const ANSWERS_FROM = 3;

export interface Handled {
  readonly effect: Effect;
  readonly answer: Kind | null;
}

/** Every way in which a participant may act on a message. */
export type Participant = (step: RemoteStep<null>, effect: Effect, kind: Kind) => ReadonlyArray<Handled>;

export const receive: Participant = (step, effect, kind) => {
  switch (kind) {
    case "do":
      return effect === "none" ? decided(step) : [again(step, effect)];
    case "probe":
      return [effect === "none" ? { effect, answer: "unseen" } : again(step, effect)];
    case "undo":
      return undone(step, effect);
    case "done":
    case "failed":
    case "transient":
    case "unseen":
    case "undone":
    case "undoRefused":
      return [];
  }
};

const decided = ({ failures, retry }: RemoteStep<null>): ReadonlyArray<Handled> => {
  const ways: Array<Handled> = [{ effect: "done", answer: "done" }];
  if (failures.length > 0) ways.push({ effect: "refused", answer: "failed" });
  if (failures.length > 0 && retry !== null) ways.push({ effect: "deferred", answer: "transient" });
  return ways;
};

/** The same answer. Who cannot refuse keeps silent about what is undone: nobody waits for it any more. */
const again = ({ failures }: RemoteStep<null>, effect: Effect): Handled => {
  if (effect === "done" || effect === "twice") return { effect, answer: "done" };
  if (effect === "deferred") return { effect, answer: "transient" };
  return { effect, answer: failures.length > 0 ? "failed" : null };
};

const undone = ({ undo }: RemoteStep<null>, effect: Effect): ReadonlyArray<Handled> => {
  if (effect === "none") return [{ effect: "barred", answer: "undone" }];
  if (effect !== "done") return [{ effect, answer: "undone" }];
  const ways: Array<Handled> = [{ effect: "undone", answer: "undone" }];
  if (undo !== null && undo.refused !== null) ways.push({ effect, answer: "undoRefused" });
  return ways;
};
