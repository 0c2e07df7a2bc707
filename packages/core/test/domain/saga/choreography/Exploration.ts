/**
 * Every way in which a small choreographed saga may go: any message that was ever sent arrives at any time, any number of
 * times; timers fire and a cancel comes whenever they like; participants grant and refuse as they like, once a key.
 *
 * Time is reduced to "due", counters of timers to one. Nothing is lost for ever: what was sent may always still come.
 */
import { ChoreographyReactions as Reactions, type Message, type Saga } from "@org/saga-core";

type Row = Reactions.Row<null>;
type Effect = "none" | "done" | "refused" | "undone" | "barred";

export interface Explored {
  readonly states: number;
  readonly transitions: number;
  /** Where all services have closed: how, and the steps whose effects stand. */
  readonly ends: ReadonlySet<string>;
  /** States from which that cannot be reached any more. */
  readonly stuck: number;
}

interface World {
  /** Indexes of the services' rows; 0: none. */
  readonly rows: ReadonlyArray<number>;
  /** Messages that were ever sent: a bit for each. Sets took most of the time (measured). */
  readonly sent: bigint;
  readonly effects: { readonly [step: string]: Effect };
}

const ID = "i";
const DUE = 1_000;

/** Of a saga whose steps have no data, no signals and one round. `home` starts it with null. */
export const explore = (choreography: Saga.Choreography<null, never>, statesMax: number): Explored => {
  const network = new Network(choreography);
  const initial: World = { rows: choreography.services.map(() => 0), sent: 0n, effects: {} };
  const keys = new Map<string, number>();
  const worlds: Array<World> = [];
  const before: Array<Array<number>> = [];
  let transitions = 0;
  const visit = (world: World, from: number | null): void => {
    const effects = choreography.definition.steps.map(({ name }) => world.effects[name]);
    const key = `${world.rows.join(" ")}|${world.sent}|${effects.join(" ")}`;
    let index = keys.get(key);
    if (index === undefined) {
      index = worlds.push(world) - 1;
      before.push([]);
      keys.set(key, index);
      if (index === statesMax) throw new Error(`more than ${statesMax} states`);
    }
    if (from !== null) before[index]?.push(from);
  };
  visit(initial, null);
  for (let at = 0; at < worlds.length; at++) {
    for (const next of network.moves(worlds[at] ?? initial)) {
      transitions += 1;
      visit(next, at);
    }
  }
  const closed = worlds.flatMap((world, index) => (network.rowsOf(world).every((row) => row?.isClosed === true) ? [index] : []));
  const ends = new Set(closed.map((index) => endOf(network, worlds[index] ?? initial)));
  return { states: worlds.length, transitions, ends, stuck: worlds.length - leadingTo(closed, before) };
};

const endOf = (network: Network, world: World): string => {
  const aborted = network.rowsOf(world).some((row) => row !== null && row.aborted !== null);
  const standing = Object.entries(world.effects).flatMap(([step, effect]) => (effect === "done" ? [step] : []));
  return `${aborted ? "compensated" : "completed"}: ${standing.toSorted().join(" ")}`;
};

const leadingTo = (goals: ReadonlyArray<number>, before: ReadonlyArray<ReadonlyArray<number>>): number => {
  const found = new Set(goals);
  const open = [...goals];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const from of before[at] ?? []) {
      if (found.has(from)) continue;
      found.add(from);
      open.push(from);
    }
  }
  return found.size;
};

class Network {
  private readonly choreography: Saga.Choreography<null, never>;
  private readonly messages: Array<Message.Draft> = [];
  private readonly indexes = new Map<string, number>();
  private readonly rows: Array<Row | null> = [null];
  private readonly rowIndexes = new Map<string, number>();
  /** What an input does to a row of a service, which it does every time. */
  private readonly known = new Map<string, { readonly row: number; readonly drafts: ReadonlyArray<Message.Draft> }>();

  constructor(choreography: Saga.Choreography<null, never>) {
    this.choreography = choreography;
  }

  rowsOf({ rows }: World): ReadonlyArray<Row | null> {
    return rows.map((index) => this.rows[index] ?? null);
  }

  moves(world: World): ReadonlyArray<World> {
    const { services, home } = this.choreography;
    const next: Array<World> = [];
    for (const [index, { service }] of services.entries()) {
      const row = this.rows[world.rows[index] ?? 0] ?? null;
      if (service === home.service) {
        if (row === null) next.push(...this.react(world, index, { _tag: "Start", id: ID, data: null, now: 0 }, "start"));
        else next.push(...this.react(world, index, { _tag: "Cancel", by: "user", now: 0 }, "cancel"));
      }
      const wakeAt = row?.instance?.wakeAt ?? null;
      if (wakeAt !== null) next.push(...this.react(world, index, { _tag: "Timer", name: "wake", token: "1", now: DUE }, "timer"));
    }
    for (const [index, draft] of this.messages.entries()) {
      if ((world.sent & (1n << BigInt(index))) !== 0n) next.push(...this.arrive(world, index, draft));
    }
    return next;
  }

  private arrive(world: World, sent: number, draft: Message.Draft): ReadonlyArray<World> {
    const { json, ...meta } = draft;
    const nobody = { id: "m", occurredAt: 0, correlationId: ID, causationId: null, traceparent: null, tracestate: null };
    const envelope: Message.Envelope = { ...meta, ...nobody, body: json };
    const heard = this.choreography.services.flatMap(({ hears }, index) =>
      hears.some(({ type }) => type === draft.type) ? this.react(world, index, { _tag: "Heard", envelope, now: 0 }, String(sent)) : [],
    );
    return [...heard, ...this.participate(world, draft)];
  }

  private react(world: World, index: number, input: Reactions.Input<null>, inputKey: string): ReadonlyArray<World> {
    const before = world.rows[index] ?? 0;
    const key = `${index} ${before} ${inputKey}`;
    let known = this.known.get(key);
    if (known === undefined) this.known.set(key, (known = this.decide(index, before, input)));
    if (known.row === before && known.drafts.length === 0) return [];
    return [this.send({ ...world, rows: world.rows.with(index, known.row) }, known.drafts)];
  }

  private decide(index: number, before: number, input: Reactions.Input<null>) {
    const projection = this.choreography.services[index];
    if (projection === undefined) throw new Error("no such service");
    const [row, sends] = Reactions.react(projection, this.rows[before] ?? null, ID, input);
    const drafts = sends.flatMap((send) => (send._tag === "Message" ? [send.draft] : []));
    return { row: row === null ? 0 : this.indexOf(timeless(row)), drafts };
  }

  private indexOf(row: Row): number {
    const key = JSON.stringify(row);
    const known = this.rowIndexes.get(key);
    if (known !== undefined) return known;
    const index = this.rows.push(row) - 1;
    this.rowIndexes.set(key, index);
    return index;
  }

  private participate(world: World, draft: Message.Draft): ReadonlyArray<World> {
    const { steps } = this.choreography.definition;
    return steps.flatMap((step) => {
      if (step._tag !== "Remote" || draft.stepKey !== `${ID}:${step.name}:1`) return [];
      const effect = world.effects[step.name] ?? "none";
      const say = (type: Message.AnyType | undefined, became: Effect): ReadonlyArray<World> => {
        const after = { ...world, effects: { ...world.effects, [step.name]: became } };
        return type === undefined ? [after] : [this.send(after, [{ ...draft, type: type.type, topic: type.topic }])];
      };
      const [failed] = step.failures;
      if (draft.type === step.sends.type) {
        if (effect === "done") return say(step.done, "done");
        if (effect === "none") return [...say(step.done, "done"), ...(failed === undefined ? [] : say(failed, "refused"))];
        return say(failed, effect);
      }
      if (draft.type !== step.undo?.sends.type) return [];
      return say(step.undo.done, effect === "none" ? "barred" : effect === "done" ? "undone" : effect);
    });
  }

  private send(world: World, drafts: ReadonlyArray<Message.Draft>): World {
    let { sent } = world;
    for (const draft of drafts) {
      const key = JSON.stringify(draft);
      let index = this.indexes.get(key);
      if (index === undefined) {
        index = this.messages.push(draft) - 1;
        this.indexes.set(key, index);
      }
      sent |= 1n << BigInt(index);
    }
    return { ...world, sent };
  }
}

/** What is due is due; how often a timer was written, and an undo asked for, does not matter. */
const timeless = (row: Row): Row => {
  const { instance } = row;
  const watches = Math.min(row.watches, 1);
  if (instance === null) return { ...row, watches, settled: row.settled.toSorted() };
  const steps = Object.entries(instance.steps).map(([name, { dueAt, ...state }]) => {
    const attempts = Math.min(state.attempts, 2);
    return [name, dueAt === undefined ? { ...state, attempts } : { ...state, attempts, dueAt: DUE }] as const;
  });
  const ordered = steps.toSorted(([left], [right]) => (left < right ? -1 : 1));
  const wakeAt = instance.wakeAt === null ? null : DUE;
  return {
    ...row,
    watches,
    settled: row.settled.toSorted(),
    instance: { ...instance, steps: Object.fromEntries(ordered), startedAt: 0, wakeAt, wakes: 1 },
  };
};
