/**
 * Versions of one saga side by side. An instance is pinned to the version it began with: that definition decides about it to its
 * end, or, where a migration says how, the next one goes on with it.
 *
 *     const Trips = SagaVersions.make(v3, [SagaVersions.migrate(v2, v3, { data: (data) => Result.succeed({ … }) }), SagaVersions.keep(v1)])
 *
 * - New instances begin in the newest version.
 * - An instance of a kept version stays in it. One of a migrated version is moved when it is read next, and written with its next
 *   change; one that cannot be moved goes on as it is (`SagaMigration` says when).
 * - Of a version that is not in the list nothing is read: `load` says so, and whoever asked leaves it alone.
 *
 * It does not find out that a definition was changed under its old number: `SagaStart` does.
 */
import { Result, Schema } from "effect";
import type { Definition } from "./SagaDefinition.ts";
import * as SagaDecider from "./SagaDecider.ts";
import * as SagaInstance from "./SagaInstance.ts";
import * as SagaMigration from "./SagaMigration.ts";
import * as SagaRules from "./SagaRules.ts";
import * as SagaShape from "./SagaShape.ts";
import type { Input, Instance, Send } from "./SagaState.ts";

/** What may happen to an instance, whatever it remembers. */
export type Happening = Exclude<Input<unknown>, { readonly _tag: "Start" }>;

/** An instance with the definition that decides about it. What it remembers is that definition's affair. */
export interface Pinned<C> {
  readonly instance: Instance<unknown>;
  /** As `SagaDecider.transition`; the same value: nothing changed. */
  readonly move: (input: Happening) => readonly [next: Pinned<C>, send: ReadonlyArray<Send<C>>];
  /** As it is stored. */
  readonly encode: () => unknown;
}

/** A version before the newest. */
export interface Older<C> {
  readonly saga: string;
  readonly version: number;
  readonly shape: SagaShape.Shape;
  readonly fingerprint: string;
  /** The version that it is migrated to; null: it is kept. */
  readonly to: { readonly version: number; readonly fingerprint: string } | null;
  /** A stored instance of it; moved to a later version if there is a way and it may go. `stays`: why it did not go. */
  readonly load: (stored: unknown) => { readonly pinned: Pinned<C>; readonly stays: string | null };
}

export interface Versions<D, C> {
  readonly newest: Definition<D, C>;
  /** By version, the newest included. */
  readonly known: ReadonlyMap<number, Older<C>>;
  readonly start: (input: Extract<Input<D>, { readonly _tag: "Start" }>) => readonly [next: Pinned<C>, send: ReadonlyArray<Send<C>>];
}

/** Throws where two are not versions of one saga, or have one number, and where a migration leads to none of them. */
export const make = <D, C>(newest: Definition<D, C>, older: ReadonlyArray<Older<C>> = []): Versions<D, C> => {
  const runs = runsOf(newest);
  const known = new Map([[newest.version, keep(newest)]]);
  for (const each of older) {
    const name = `${each.saga}@${each.version}`;
    if (each.saga !== newest.name) throw new Error(`${name} is no version of ${newest.name}: list the versions of one saga`);
    if (known.has(each.version)) throw new Error(`${name} is listed twice: give each version a number of its own`);
    if (each.version > newest.version) throw new Error(`${name} is not older than ${newest.name}@${newest.version}: put the newest first`);
    known.set(each.version, each);
  }
  for (const each of older) leadsTo(known, each);
  return {
    newest,
    known,
    start: (input) => {
      const [next, send] = SagaDecider.transition(newest, null, input);
      if (next === null) throw new Error(`${newest.name} did not start`);
      return [new Pin(runs, next), send];
    },
  };
};

/** An instance that was moved to a version that is not listed would be written, and never be read again. */
const leadsTo = <C>(known: ReadonlyMap<number, Older<C>>, { saga, version, to }: Older<C>): void => {
  if (to === null) return;
  const target = known.get(to.version);
  const migrated = `${saga}@${version} is migrated to ${saga}@${to.version}`;
  if (target === undefined) throw new Error(`${migrated}, which is not listed: list it, kept or migrated further`);
  if (target.fingerprint !== to.fingerprint) throw new Error(`${migrated}, but another definition is listed as that version: use one`);
};

/** A version whose instances stay in it to their end. */
export const keep = <D, C>(definition: Definition<D, C>): Older<C> => {
  const runs = runsOf(definition);
  return { ...namesOf(definition), to: null, load: (stored) => ({ pinned: new Pin(runs, runs.decode(stored)), stays: null }) };
};

/** A version whose instances go on in the version `to`, where they can. */
export const migrate = <A, B, C>(from: Definition<A, C>, to: Definition<B, C>, migration: SagaMigration.Migration<A, B>): Older<C> => {
  if (from.name !== to.name) throw new Error(`${from.name} is not ${to.name}: a migration goes from a version of a saga to a later one`);
  if (from.version >= to.version) throw new Error(`${from.name}: a migration goes from a version to a later one`);
  SagaMigration.check(from, to, migration);
  const [before, after] = [runsOf(from), runsOf(to)];
  return {
    ...namesOf(from),
    to: { version: to.version, fingerprint: SagaShape.fingerprint(to) },
    load: (stored) => {
      const instance = before.decode(stored);
      const moved = SagaMigration.move(from, to, migration, instance);
      return Result.isSuccess(moved)
        ? { pinned: new Pin(after, moved.success), stays: null }
        : { pinned: new Pin(before, instance), stays: moved.failure };
    },
  };
};

/** A stored instance in the latest version that it can go to; null: of a version that is not known here. */
export const load = <D, C>({ known }: Versions<D, C>, version: number, stored: unknown): Pinned<C> | null => {
  const first = known.get(version);
  if (first === undefined) return null;
  let { pinned } = first.load(stored);
  for (let at = version; pinned.instance.version !== at;) {
    at = pinned.instance.version;
    const next = known.get(at);
    if (next !== undefined) pinned = next.load(pinned.encode()).pinned;
  }
  return pinned;
};

const namesOf = <D, C>(definition: Definition<D, C>) => ({
  saga: definition.name,
  version: definition.version,
  shape: SagaShape.of(definition),
  fingerprint: SagaShape.fingerprint(definition),
});

interface Runs<D, C> {
  readonly definition: Definition<D, C>;
  readonly decode: (stored: unknown) => Instance<D>;
  readonly encodeData: (data: D) => unknown;
}

const runsOf = <D, C>(definition: Definition<D, C>): Runs<D, C> => {
  SagaRules.expectWhole(definition);
  return {
    definition,
    decode: Schema.decodeUnknownSync(Schema.toCodecJson(SagaInstance.schemaOf(definition.data))),
    encodeData: Schema.encodeSync(Schema.toCodecJson(definition.data)),
  };
};

class Pin<D, C> implements Pinned<C> {
  readonly runs: Runs<D, C>;
  readonly instance: Instance<D>;

  constructor(runs: Runs<D, C>, instance: Instance<D>) {
    this.runs = runs;
    this.instance = instance;
  }

  move(input: Happening): readonly [Pinned<C>, ReadonlyArray<Send<C>>] {
    const [next, send] = SagaDecider.transition(this.runs.definition, this.instance, input);
    return [next === null || next === this.instance ? this : new Pin(this.runs, next), send];
  }

  /** Around its data an instance is a JSON value as it is. */
  encode(): unknown {
    return { ...this.instance, data: this.runs.encodeData(this.instance.data) };
  }
}
