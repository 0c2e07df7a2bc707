/**
 * A saga's definition, projected to the services that take part: nobody coordinates, each does what is its own when it has
 * heard what that comes after.
 *
 *     const shop = Saga.choreograph(Checkout, { home: "order", owners: { "reserve-stock": "inventory", "capture-payment": "payment", … } })
 *     shop.of("inventory") // a Projection: what `ChoreographyReactions.react` decides by
 *
 * - The *owner* of a step does it, with the handler that it has for an orchestrator's command.
 * - The *home* is where instances start, and where the aggregate is that local steps change.
 * - The *arbiter* is the pivot's owner: failures, cancels and deadlines are requests to it; its one row decides whether the
 *   pivot is asked for or the saga is aborted, whichever is first.
 *
 * A projection is a definition, too: own steps as they are, those they come after as signals. So `SagaDecider` decides in each
 * service, and rounds, probes, timeouts and conditions are what they are under a coordinator.
 */
import * as Message from "../../Message.ts";
import type { Definition } from "../SagaDefinition.ts";
import { refuse } from "../SagaRules.ts";
import type { Early, Kept, Outcome, Step } from "../SagaStep.ts";
import * as ChoreographyRules from "./ChoreographyRules.ts";
import * as Known from "./Known.ts";
import * as Protocol from "./Protocol.ts";

export interface Distribution<S extends string = string> {
  readonly home: S;
  /** Who does which step. Local ones are at home. */
  readonly owners: Readonly<Record<string, S>>;
}

/** The other topology: one service sends all commands and hears all replies. */
export type Orchestration<D, C> = Pick<Projection<D, C>, "hears" | "catalogue"> & { readonly definition: Definition<D, C> };

/** A saga as its services see it. */
export interface Choreography<D, C, S extends string = string> {
  readonly definition: Definition<D, C>;
  readonly home: Projection<D, C>;
  readonly arbiter: Projection<D, C>;
  readonly services: ReadonlyArray<Projection<D, C>>;
  readonly of: (service: S) => Projection<D, C>;
}

/** A saga as one service sees it. */
export interface Projection<D, C> {
  readonly service: string;
  readonly isHome: boolean;
  readonly isArbiter: boolean;
  /** The whole, which undos are ordered by. */
  readonly whole: Definition<D, C>;
  /** Own steps, and as signals those that they come after; all of them for the arbiter. */
  readonly definition: Definition<Known.Known<D>, C>;
  readonly owns: ReadonlySet<string>;
  /** By step, those that come after it, near and far. */
  readonly followers: ReadonlyMap<string, ReadonlySet<string>>;
  readonly protocol: Protocol.Protocol<D>;
  /** What it listens to; the services' own words once for each topic that they are told on. */
  readonly hears: ReadonlyArray<Message.AnyType>;
  /** What it reads those by. */
  readonly catalogue: Message.Catalogue;
}

/**
 * Spare time of a step elsewhere until the arbiter counts the flow as stalled, in milliseconds: what its messages may need
 * beyond the step's own times. Above the time after which a consumer group misses a process that was killed, and after which
 * whatever was not heard of is told again (`Watch.WATCH_MS`).
 */
export const EXPECT_SLACK_MS = 75_000;

/** Why the arbiter gives up on a step that has no time of its own. */
const STALLED = "timeout";

/** A saga as its coordinator sees it: the whole. */
export const orchestrate = <D, C>(definition: Definition<D, C>): Orchestration<D, C> => ({
  definition,
  hears: definition.awaits,
  catalogue: Message.catalogue(definition.awaits),
});

/** Throws with what to do about it if the saga cannot be projected. */
export const choreograph = <D, C, S extends string>(definition: Definition<D, C>, distribution: Distribution<S>): Choreography<D, C, S> => {
  ChoreographyRules.check(definition, distribution);
  const { home, owners } = distribution;
  const ownerOf = (step: Step<D, C>): S => (step._tag === "Local" ? home : (owners[step.name] ?? home));
  const pivot = definition.steps.find(({ kind }) => kind === "pivot");
  const arbiter = pivot === undefined ? home : ownerOf(pivot);
  const names = [...new Set([home, ...definition.steps.map(ownerOf)])];
  const protocolOf = (service: S) => Protocol.make(definition.name, definition.version, definition.data, `${service}.events`);
  const words = names.flatMap((name) => protocolOf(name).types);
  const project = (service: S): Projection<D, C> => {
    const owns = new Set(definition.steps.filter((step) => ownerOf(step) === service).map(({ name }) => name));
    const [isHome, isArbiter] = [service === home, service === arbiter];
    return projectionOf({ service, isHome, isArbiter, whole: definition, owns, protocol: protocolOf(service) }, words);
  };
  const services = new Map(names.map((name) => [name, project(name)]));
  const of = (service: S): Projection<D, C> => services.get(service) ?? refuse(definition.name, `"${service}" owns nothing of it`);
  return { definition, home: of(home), arbiter: of(arbiter), services: [...services.values()], of };
};

/** What a service listens to that has several versions of its part, the newest first. */
export const listens = <D, C>(projections: ReadonlyArray<Projection<D, C>>): Pick<Projection<D, C>, "hears" | "catalogue"> => {
  const types = projections.toReversed().flatMap(({ hears }) => hears);
  const hears = [...new Map(types.map((type) => [`${type.topic} ${type.type}`, type])).values()];
  return { hears, catalogue: catalogueOf(hears) };
};

/** The services' own words are one type on several topics. */
const catalogueOf = (hears: ReadonlyArray<Message.AnyType>): Message.Catalogue =>
  Message.catalogue([...new Map(hears.map((type) => [type.type, type])).values()]);

type Basis<D, C> = Omit<Projection<D, C>, "definition" | "followers" | "hears" | "catalogue">;

const projectionOf = <D, C>(basis: Basis<D, C>, words: ReadonlyArray<Message.AnyType>): Projection<D, C> => {
  const { whole, owns, isArbiter } = basis;
  const before = ancestorsOf(whole.steps);
  const isNear = (name: string): boolean => owns.has(name) || isArbiter || [...owns].some((own) => before.get(own)?.has(name) === true);
  const steps = whole.steps.filter(({ name }) => isNear(name));
  const beginsHere = steps.some(({ name, after }) => owns.has(name) && after.length === 0);
  const projected = steps.map((step): Step<Known.Known<D>, C> => {
    const at = (known: Known.Known<D>): D => Known.dataOf(whole.steps, known, (name) => before.get(step.name)?.has(name) === true);
    const all = (known: Known.Known<D>): D => Known.dataOf(whole.steps, known);
    return owns.has(step.name) ? ownStep(step, at, all) : elsewhere(step, at, basis);
  });
  const awaits = steps.flatMap((step) => {
    if (owns.has(step.name)) return step.awaits;
    return step._tag === "Remote" ? [step.done] : [];
  });
  const hears = [...new Map([...awaits, ...words].map((type) => [`${type.topic} ${type.type}`, type])).values()];
  return {
    ...basis,
    followers: followersOf(before),
    hears,
    catalogue: catalogueOf(hears),
    definition: {
      ...whole,
      data: Known.schemaOf(whole.data),
      steps: projected,
      last: [],
      awaits,
      startAfterMillis: beginsHere ? whole.startAfterMillis : 0,
      deadlineMillis: isArbiter ? whole.deadlineMillis : null,
      // The aggregate is told by the home when the arbiter has decided.
      onTurned: () => null,
      onUndone: () => null,
    },
  };
};

/** By step, those that it comes after, near and far. Steps stand in such an order. */
const ancestorsOf = <D, C>(steps: ReadonlyArray<Step<D, C>>): ReadonlyMap<string, ReadonlySet<string>> => {
  const ancestors = new Map<string, ReadonlySet<string>>();
  for (const { name, after } of steps) ancestors.set(name, new Set(after.flatMap((each) => [each, ...(ancestors.get(each) ?? [])])));
  return ancestors;
};

const followersOf = (ancestors: ReadonlyMap<string, ReadonlySet<string>>): ReadonlyMap<string, ReadonlySet<string>> =>
  new Map(
    [...ancestors.keys()].map((name) => [name, new Set([...ancestors].flatMap(([each, before]) => (before.has(name) ? [each] : [])))]),
  );

type View<D> = (known: Known.Known<D>) => D;

/** As it is, but that it reads what it comes after, and its undo whatever is known. */
const ownStep = <D, C>(step: Step<D, C>, at: View<D>, all: View<D>): Step<Known.Known<D>, C> => {
  const { when } = step;
  const common = { when: when === null ? null : (known: Known.Known<D>) => when(at(known)) };
  switch (step._tag) {
    case "Local":
      return { ...step, ...common, local: (known) => step.local(at(known)) };
    case "Signal":
      return { ...step, ...common, early: { ...step.early, use: using(step.name, (known, kept) => step.early.use(at(known), kept)) } };
    case "Remote": {
      const { undo, probe } = step;
      const reply: Early<Known.Known<D>> = {
        keep: step.reply.keep,
        use: using(step.name, (known, kept) => step.reply.use(at(known), kept)),
      };
      return {
        ...step,
        ...common,
        reply,
        command: (known, options) => step.command(at(known), options),
        read: (known, envelope) => {
          const outcome = step.read(at(known), envelope);
          return outcome?._tag === "Done" ? reply.use(known, step.reply.keep(envelope) ?? Known.DONE) : outcome;
        },
        undo: undo === null ? null : { ...undo, command: (known, options) => undo.command(all(known), options) },
        probe: probe === null ? null : { ...probe, command: (known, options) => probe.command(at(known), options) },
        retryOn: null,
      };
    }
  }
};

/** What is done is remembered as its outcome. */
const using =
  <D>(name: string, use: (known: Known.Known<D>, kept: Kept) => Outcome<D> | null): Early<Known.Known<D>>["use"] =>
  (known, kept) => {
    const outcome = use(known, kept);
    return outcome?._tag === "Done" ? { _tag: "Done", data: Known.learn(known, name, kept) } : outcome;
  };

/** A step of another service: its outcome is awaited. The arbiter expects it in its time. */
const elsewhere = <D, C>(step: Step<D, C>, at: View<D>, { isArbiter, whole, protocol }: Basis<D, C>): Step<Known.Known<D>, C> => {
  const { name, kind, after, when, otherwise } = step;
  const isExpected = isArbiter && kind === "compensatable" && otherwise === "undo";
  const rest = after.length === 0 ? whole.startAfterMillis : 0;
  const worst = worstMillisOf(step);
  return {
    _tag: "Signal",
    name,
    kind,
    after,
    when: when === null ? null : (known) => when(at(known)),
    otherwise,
    awaits: [],
    done: step._tag === "Remote" ? step.done : protocol.Passed,
    failures: [],
    // Told by its step's name, never by its type.
    early: {
      keep: () => null,
      use: (known, kept) => (kept._tag === "Done" ? { _tag: "Done", data: Known.learn(known, name, kept) } : kept),
    },
    timeoutMillis: isExpected && worst !== null ? rest + worst + EXPECT_SLACK_MS : null,
    // Nobody has refused a local step.
    timeoutReason: step._tag === "Local" ? STALLED : step.timeoutReason,
  };
};

/** How long a step takes at most until its owner gives it up; null: as long as it takes. */
const worstMillisOf = <D, C>(step: Step<D, C>): number | null => {
  switch (step._tag) {
    case "Local":
      return 0;
    case "Signal":
      return step.timeoutMillis;
    case "Remote": {
      const { timeoutMillis, attemptsMax, retry } = step;
      const rounds = retry?.rounds ?? 1;
      return timeoutMillis * attemptsMax * rounds + (retry?.maxMillis ?? 0) * (rounds - 1);
    }
  }
};
