/** Visits every world that can be reached, the nearest first, so that the first broken law has a shortest trace. */
import * as Calls from "./Calls.ts";
import * as Decisions from "./Decisions.ts";
import * as Laws from "./Laws.ts";
import type { Model } from "./Model.ts";
import * as Recovery from "./Recovery.ts";
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

export const run = (model: Model, statesMax: number): Explored => {
  const decisions = Decisions.make(model);
  const first: Found = { world: World.initial(model, decisions), from: null, by: null };
  const found: Array<Found> = [first];
  const known = new Set([World.keyOf(first.world)]);
  const ends = new Map<string, End>();
  let transitions = 0;
  const over = (broken: Broken | null, isComplete: boolean): Explored => ({
    states: found.length,
    transitions,
    ends: [...ends].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, end]) => end),
    isComplete,
    broken,
  });

  for (let at = 0; at < found.length; at += 1) {
    const here = found[at];
    if (here === undefined) continue;
    for (const { move, world, broken } of World.steps(model, decisions, here.world)) {
      transitions += 1;
      const next: Found = { world, from: here, by: move };
      if (broken !== null) return over({ ...broken, moves: movesTo(next), afterwards: null }, false);
      const key = World.keyOf(world);
      if (known.has(key)) continue;
      const wrong = Laws.ofWorld(model, world.position, world.calls);
      if (wrong !== null) return over({ ...wrong, moves: movesTo(next), afterwards: null }, false);
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

const noteEnd = ({ saga, rounds }: Model, { position: { instance }, calls }: World.World, ends: Map<string, End>): void => {
  if (instance === null || instance.status === "running" || instance.status === "compensating") return;
  const standing = saga.steps.filter(
    (step) => step._tag === "Remote" && step.undo !== null && Calls.standing(calls, rounds.get(step.name) ?? []) > 0,
  );
  const end: End = { status: instance.status, standing: standing.map(({ name }) => name) };
  ends.set(`${end.status} ${end.standing.join(" ")}`, end);
};
