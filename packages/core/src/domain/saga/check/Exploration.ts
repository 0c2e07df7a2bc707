/** Visits every world that can be reached, the nearest first, so that the first broken law has a shortest trace. */
import * as Calls from "./Calls.ts";
import * as Decisions from "./Decisions.ts";
import * as Laws from "./Laws.ts";
import type { Model } from "./Model.ts";
import * as Recovery from "./Recovery.ts";
import * as Reduction from "./Reduction.ts";
import * as World from "./World.ts";

/** How a saga came to rest, and the steps with an undo whose effects stand. */
export interface End {
  readonly status: string;
  readonly standing: ReadonlyArray<string>;
}

export interface Explored {
  readonly states: number;
  readonly transitions: number;
  readonly ends: ReadonlyArray<End>;
  /** False: a law was broken before, or there are more states than were asked for. */
  readonly isComplete: boolean;
  readonly broken: Broken | null;
}

export interface Broken extends Laws.Broken {
  readonly moves: ReadonlyArray<World.Move>;
  /** What happens after everything on its way was lost, and nothing is lost any more. */
  readonly afterwards: ReadonlyArray<World.Move> | null;
}

interface Found {
  readonly world: World.World;
  readonly from: Found | null;
  readonly by: World.Move | null;
}

/** What is broken is looked for once more, every world for itself: for a shortest trace. */
export const run = (model: Model, statesMax: number): Explored => {
  const explored = visit(model, statesMax, Reduction.of(model));
  if (explored.broken === null) return explored;
  const exact = visit(model, statesMax, Reduction.none);
  return exact.broken === null ? explored : exact;
};

/** Worlds that stand for each other are visited once. */
export const visit = (model: Model, statesMax: number, { saturated, keyOf, groups }: Reduction.Reduction): Explored => {
  const decisions = Decisions.make(model);
  const first: Found = { world: World.initial(model, decisions), from: null, by: null };
  const found: Array<Found> = [first];
  const known = new Set([keyOf(first.world)]);
  const ends = new Map<string, End>();
  let transitions = 0;
  const over = (broken: Broken | null, isComplete: boolean): Explored => ({
    states: found.length,
    transitions,
    ends: endsOf(model, ends, groups),
    isComplete,
    broken,
  });

  for (let at = 0; at < found.length; at += 1) {
    const here = found[at];
    if (here === undefined) continue;
    for (const { move, world: after, broken } of World.steps(model, decisions, here.world)) {
      transitions += 1;
      const world = saturated(after);
      const next: Found = { world, from: here, by: move };
      const key = keyOf(world);
      const isKnown = known.has(key);
      const wrong = broken ?? (isKnown ? null : Laws.ofWorld(model, world.position, world.calls));
      if (wrong !== null) return over({ ...wrong, moves: movesTo(next), afterwards: null }, false);
      if (isKnown) continue;
      if (found.length === statesMax) return over(null, false);
      known.add(key);
      found.push(next);
      noteEnd(model, world, ends);
    }
  }
  return over(restless(model, decisions, found), true);
};

/** The shortest way to where it does not come to rest. */
const restless = (model: Model, decisions: Decisions.Decisions, found: ReadonlyArray<Found>): Broken | null => {
  const recovery = Recovery.make(model, decisions);
  let best: Broken | null = null;
  let max = Number.POSITIVE_INFINITY;
  for (const each of found) {
    if (recovery.ends(each.world)) continue;
    const moves = movesTo(each);
    if (moves.length >= max) break;
    const unended = recovery.restless(each.world, max - moves.length);
    if (unended === null) continue;
    best = { law: unended.law, problem: unended.problem, moves, afterwards: unended.moves };
    max = moves.length + unended.moves.length;
  }
  return best;
};

const movesTo = (found: Found): ReadonlyArray<World.Move> => {
  const moves: Array<World.Move> = [];
  for (let at: Found | null = found; at !== null; at = at.from) if (at.by !== null) moves.push(at.by);
  return moves.toReversed();
};

const noteEnd = (model: Model, { position: { instance }, calls }: World.World, ends: Map<string, End>): void => {
  if (instance === null || instance.status === "running" || instance.status === "compensating") return;
  addEnd(model, ends, instance.status, (name) => Calls.standing(calls, model.rounds.get(name) ?? []) > 0);
};

const addEnd = ({ saga }: Model, ends: Map<string, End>, status: string, stands: (name: string) => boolean): void => {
  const undoable = saga.steps.filter((step) => step._tag === "Remote" && step.undo !== null);
  const standing = undoable.map(({ name }) => name).filter(stands);
  ends.set(`${status} ${standing.join(" ")}`, { status, standing });
};

/** With those in which steps that are each other's like have changed places. */
const endsOf = (model: Model, ends: ReadonlyMap<string, End>, groups: Reduction.Reduction["groups"]): ReadonlyArray<End> => {
  const all = new Map(ends);
  // What is added while it goes on is visited, too.
  for (const { status, standing } of all.values()) {
    for (const group of groups) {
      for (const out of group.filter((name) => standing.includes(name))) {
        for (const name of group.filter((each) => !standing.includes(each))) {
          addEnd(model, all, status, (each) => each === name || (each !== out && standing.includes(each)));
        }
      }
    }
  }
  return [...all].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, end]) => end);
};
