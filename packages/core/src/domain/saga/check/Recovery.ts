/**
 * Termination under fairness: whatever has happened, when faults stop the saga comes to rest.
 *
 * From a world in which everything on its way is lost, the worst that faults leave behind, messages arrive once and in order,
 * participants answer what they like, nobody signals, and the timer fires when nothing else happens. Every such run has to
 * end: none stands still and none goes round. A message that a fault held back and that arrives after all leads to another
 * world that can be reached, of which the same is shown; and there are finitely many of those messages.
 */
import * as Calls from "./Calls.ts";
import type { Decision, Decisions } from "./Decisions.ts";
import type * as Laws from "./Laws.ts";
import type { Model } from "./Model.ts";
import type { Kind } from "./Participant.ts";
import * as World from "./World.ts";

/** A run that does not end. */
export interface Restless extends Laws.Broken {
  readonly moves: ReadonlyArray<World.Move>;
}

export interface Recovery {
  /** Whether every run ends. */
  readonly ends: (world: World.World) => boolean;
  /** A shortest run that does not, of less than `length` moves; null: there is none. */
  readonly restless: (world: World.World, length: number) => Restless | null;
}

interface Message {
  readonly call: Calls.Call;
  readonly kind: Kind;
}

interface Node {
  readonly key: string;
  /** With nothing on its way but the queue. */
  readonly world: World.World;
  readonly queue: ReadonlyArray<Message>;
}

interface Edge {
  readonly move: World.Move;
  readonly to: Node;
}

type Edges = (from: Node) => ReadonlyArray<Edge>;

export const make = (model: Model, decisions: Decisions): Recovery => {
  const known = new Map<string, "open" | "ends" | "endless">();
  const edges = edgesOf(model, decisions);

  const ends = (node: Node): boolean => {
    const before = known.get(node.key);
    if (before !== undefined) return before === "ends";
    known.set(node.key, "open");
    const next = edges(node);
    const isEnding = isAtRest(node) || (next.length > 0 && next.every(({ to }) => ends(to)));
    known.set(node.key, isEnding ? "ends" : "endless");
    return isEnding;
  };

  return {
    ends: (world) => ends(rootOf(world)),
    restless: (world, length) => restless(rootOf(world), (node) => edges(node).filter(({ to }) => !ends(to)), length),
  };
};

/** By edges that lead to no end. */
const restless = (from: Node, edges: Edges, length: number): Restless | null => {
  let best: Restless | null = null;
  let max = length;
  for (const { node, moves } of nearest(from, edges)) {
    if (moves.length >= max) break;
    if (edges(node).length === 0) return { law: "Stuck", problem: "it is not at rest, and nothing will ever happen", moves };
    for (const round of nearest(node, edges)) {
      if (moves.length + round.moves.length >= max) break;
      if (round.node.key !== node.key || round.moves.length === 0) continue;
      best = { law: "Endless", problem: "without faults it goes round for ever", moves: [...moves, ...round.moves] };
      max = best.moves.length;
    }
  }
  return best;
};

/** Every node once, and the first one again if it is met again; the nearest first. */
const nearest = function* (from: Node, edges: Edges): Generator<{ readonly node: Node; readonly moves: ReadonlyArray<World.Move> }> {
  const seen = new Set<string>();
  const open: Array<{ readonly node: Node; readonly moves: ReadonlyArray<World.Move> }> = [{ node: from, moves: [] }];
  for (let here = open[0], at = 0; here !== undefined; at += 1, here = open[at]) {
    yield here;
    for (const { move, to } of edges(here.node)) {
      if (seen.has(to.key)) continue;
      seen.add(to.key);
      open.push({ node: to, moves: [...here.moves, move] });
    }
  }
};

const edgesOf =
  (model: Model, decisions: Decisions): Edges =>
  ({ world, queue }) => {
    const apply = (decision: Decision): World.Step => World.apply(model, world, decision);
    for (const [index, { call, kind }] of queue.entries()) {
      const steps = Calls.isAnswer(kind)
        ? decisions.answered(world.position, call, kind).map(apply)
        : World.handle(model, world, call, kind);
      // What changes nothing is over.
      if (steps.length > 0) return steps.map((step) => edgeOf(model, step, queue.slice(index + 1)));
    }
    return world.hasTimer ? decisions.due(world.position).map((decision) => edgeOf(model, apply(decision), [])) : [];
  };

const edgeOf = ({ calls: all }: Model, { move, world }: World.Step, before: Node["queue"]): Edge => {
  const sent = all.flatMap((call) => Calls.inFlight(world.calls, call.index).map((kind) => ({ call, kind })));
  const { world: quiet } = rootOf(world);
  const queue = [...before, ...sent];
  const key = World.keyOf(quiet) + queue.map(({ call, kind }) => ` ${call.index}${kind}`).join("");
  return { move, to: { key, world: quiet, queue } };
};

const rootOf = (world: World.World): Node => {
  const quiet = { ...world, calls: Calls.lost(world.calls) };
  return { key: World.keyOf(quiet), world: quiet, queue: [] };
};

/** At rest, nothing that arrives changes that: the exploration sees to it. */
const isAtRest = ({ world: { position } }: Node): boolean =>
  position.instance === null || (position.instance.status !== "running" && position.instance.status !== "compensating");
