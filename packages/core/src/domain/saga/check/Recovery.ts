/**
 * Termination under fairness: whatever has happened, when faults stop the saga comes to rest.
 *
 * From a world in which everything on its way is lost, the worst that faults leave behind, messages arrive once and in order,
 * participants answer what they like, nobody signals, and the timer fires when nothing else happens. Every such run has to
 * end: none stands still and none goes round. A message that a fault held back and that arrives after all leads to another
 * world that can be reached, of which the same is shown; and there are finitely many of those messages.
 */
import * as Calls from "./Calls.ts";
import type { Decisions } from "./Decisions.ts";
import type * as Laws from "./Laws.ts";
import type { Model } from "./Model.ts";
import { type Kind } from "./Participant.ts";
import * as World from "./World.ts";

/** A run that does not end. */
export interface Restless extends Laws.Broken {
  readonly moves: ReadonlyArray<World.Move>;
}

interface Message {
  readonly call: Calls.Call;
  readonly kind: Kind;
}

/** Shows it of one world after the other, and remembers of which it was shown. */
export const make = (model: Model, decisions: Decisions): ((world: World.World) => Restless | null) => {
  /** False: on the way from where it began. */
  const known = new Map<string, boolean>();

  const settle = (world: World.World, queue: ReadonlyArray<Message>): Restless | null => {
    if (queue.length === 0 && isAtRest(world)) return null;
    const key = World.keyOf(world) + queue.map(({ call, kind }) => ` ${call.index}${kind}`).join("");
    const isShown = known.get(key);
    if (isShown === true) return null;
    if (isShown === false) return { law: "Endless", problem: "without faults it goes round for ever", moves: [] };
    known.set(key, false);
    const [first, ...rest] = queue;
    const steps = first === undefined ? waits(world) : arrives(world, first);
    if (first === undefined && steps.length === 0)
      return { law: "Stuck", problem: "it is not at rest, and nothing will ever happen", moves: [] };
    // What changes nothing is over.
    const unended = first !== undefined && steps.length === 0 ? settle(world, rest) : goOn(steps, rest);
    known.set(key, true);
    return unended;
  };

  const goOn = (steps: ReadonlyArray<World.Step>, queue: ReadonlyArray<Message>): Restless | null => {
    for (const { move, world } of steps) {
      const unended = settle(quiet(world), [...queue, ...sentIn(model, world)]);
      if (unended !== null) return { ...unended, moves: [move, ...unended.moves] };
    }
    return null;
  };

  const waits = (world: World.World): ReadonlyArray<World.Step> =>
    world.hasTimer ? decisions.due(world.position).map((decision) => World.apply(model, world, decision)) : [];

  const arrives = (world: World.World, { call, kind }: Message): ReadonlyArray<World.Step> =>
    Calls.isAnswer(kind)
      ? decisions.answered(world.position, call, kind).map((decision) => World.apply(model, world, decision))
      : World.handle(model, world, call, kind);

  return (world) => settle(quiet(world), []);
};

const quiet = (world: World.World): World.World => ({ ...world, calls: Calls.lost(world.calls) });

const sentIn = ({ calls: all }: Model, { calls }: World.World): ReadonlyArray<Message> =>
  all.flatMap((call) => Calls.inFlight(calls, call.index).map((kind) => ({ call, kind })));

const isAtRest = ({ position: { instance } }: World.World): boolean =>
  instance === null || (instance.status !== "running" && instance.status !== "compensating");
