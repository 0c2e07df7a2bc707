/**
 * Worlds that need not be told apart, so that fewer are visited.
 *
 * 1. Answers that are given again. A participant that is asked once more answers as before, and nothing else changes. What asks
 *    it stays on its way, so that may happen at any time, and an answer that is on its way only adds to what may happen: the
 *    world in which all of them are given already can be reached, and can do all that the others can. It stands for them.
 * 2. Steps that are each other's like. Two steps side by side that differ in their names only may change places: what can
 *    happen to one can happen to the other, and the laws know no names. One of the worlds that come out of another by that stands
 *    for all. It holds for deciders that go by the order and the names of such steps in nothing but the order of what they
 *    send, as the real one does.
 *
 * It is not for traces: those are looked for without it.
 */
import type { AbstractStep } from "./AbstractSaga.ts";
import * as Calls from "./Calls.ts";
import type { Model } from "./Model.ts";
import type { Position } from "./Position.ts";
import * as World from "./World.ts";

export interface Reduction {
  /** The world that stands for this one. */
  readonly saturated: (world: World.World) => World.World;
  /** Equal for worlds that stand for each other. */
  readonly keyOf: (world: World.World) => string;
  /** Steps that may change places. */
  readonly groups: ReadonlyArray<ReadonlyArray<string>>;
}

/** Every world for itself. */
export const none: Reduction = { saturated: (world) => world, keyOf: World.keyOf, groups: [] };

export const of = (model: Model): Reduction => {
  const groups = alike(model);
  return { saturated: saturating(model), keyOf: sorting(model, groups), groups };
};

const saturating = ({ calls: all, participant }: Model): Reduction["saturated"] => {
  const known = all.map(() => new Map<string, string>());
  const saturatedCall = (calls: Calls.Calls, call: Calls.Call): string => {
    const effect = Calls.effectOf(calls, call.index);
    let text = calls;
    for (const kind of Calls.inFlight(calls, call.index)) {
      if (Calls.isAnswer(kind)) continue;
      const [only, ...others] = participant(call.step, effect, kind);
      if (only === undefined || others.length > 0 || only.effect !== effect || only.answer === null) continue;
      text = Calls.send(text, call.index, only.answer);
    }
    return text.charAt(call.index);
  };
  return (world) => {
    let text = "";
    for (const call of all) {
      const before = world.calls.charAt(call.index);
      const table = known[call.index];
      const after = table?.get(before) ?? saturatedCall(world.calls, call);
      table?.set(before, after);
      text += after;
    }
    return text === world.calls ? world : { ...world, calls: text };
  };
};

const sorting = (model: Model, groups: Reduction["groups"]): Reduction["keyOf"] => {
  if (groups.every((group) => group.length === 1)) return World.keyOf;
  const codeOf = coding();
  const known: Array<{ readonly whole: string; readonly steps: ReadonlyArray<ReadonlyArray<string>> } | undefined> = [];
  const partsOf = ({ id, instance }: Position) =>
    (known[id] ??= {
      whole: codeOf(instance === null ? "" : `${instance.status} ${instance.failure?.reason ?? ""} ${String(instance.wakeAt)}`),
      steps: groups.map((group) => group.map((name) => codeOf(JSON.stringify(instance?.steps[name] ?? null)))),
    });
  const calls = groups.map((group) => group.map((name) => (model.rounds.get(name) ?? []).map(({ index }) => index)));
  return (world) => {
    const { whole, steps } = partsOf(world.position);
    let key = whole + (world.hasTimer ? "1" : "0");
    for (const [at, group] of steps.entries()) {
      const texts = group.map((step, which) => (calls[at]?.[which] ?? []).reduce((text, index) => text + world.calls.charAt(index), step));
      key += texts.length === 1 ? (texts[0] ?? "") : texts.toSorted().join("");
    }
    return key;
  };
};

/** A character for each text. */
const coding = (): ((text: string) => string) => {
  const known = new Map<string, string>();
  return (text) => {
    const code = known.get(text) ?? String.fromCharCode(known.size);
    known.set(text, code);
    return code;
  };
};

/** Names of steps, in groups of each other's like. */
const alike = ({ saga: { steps } }: Model): ReadonlyArray<ReadonlyArray<string>> => {
  const followers = (name: string): ReadonlyArray<string> => steps.filter(({ after }) => after.includes(name)).map((step) => step.name);
  const groups = Map.groupBy(steps, (step) => JSON.stringify([shapeOf(step), step.after, followers(step.name)]));
  return [...groups.values()].map((group) => group.map(({ name }) => name));
};

/** All that the decider and the participants go by, but names. Only a step that sends, has no condition and waits for no signal has its like. */
const shapeOf = (step: AbstractStep): unknown => {
  if (step._tag !== "Remote" || step.when !== null || step.retryOn !== null) return step.name;
  const { kind, otherwise, done, failures, undo, probe, attemptsMax, retry } = step;
  const types = [done, ...failures, undo?.done, undo?.refused, probe?.unseen].map((type) => type?.type ?? null);
  // Which of them are one and the same.
  return [kind, otherwise, types.map((type) => (type === null ? null : types.indexOf(type))), attemptsMax, retry?.rounds ?? 0];
};
