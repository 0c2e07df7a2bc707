/**
 * Versions of one saga side by side, behind promises: what becomes of instances that an earlier version began.
 *
 *     client.saga({ definition: v3, older: [SagaVersions.migrate(v2, v3, { data: (data) => ({ … }) }), SagaVersions.keep(v1)], … })
 */
import { Result, Schema } from "effect";
import type { Definition } from "../domain/saga/Saga.ts";
import * as SagaInstance from "../domain/saga/SagaInstance.ts";
import type { Instance } from "../domain/saga/SagaState.ts";
import * as Versions from "../domain/saga/SagaVersions.ts";

/** A version before the newest, whose instances remember an `A`. */
export interface Older<A> {
  readonly version: Versions.Older<never>;
  /** An instance that is in it. */
  readonly read: (stored: unknown) => Instance<A>;
}

/** `O`: what instances of each remember. */
export type Olders<O extends ReadonlyArray<unknown>> = { readonly [K in keyof O]: Older<O[K]> };

/** Why an instance stays in its version. */
export class Stays {
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

export const stays = (reason: string): Stays => new Stays(reason);

export interface Migration<A, B> {
  /** What the instance remembers from now on, or `stays("…")`. `steps` by their old names; those that were not begun are absent. */
  readonly data: (data: A, steps: Instance<A>["steps"]) => B | Stays;
  /** Old name to new name. */
  readonly renamed?: { readonly [from: string]: string };
}

/** A version whose instances stay in it to their end. */
export const keep = <A>(definition: Definition<A, never>): Older<A> => ({ version: Versions.keep(definition), read: readerOf(definition) });

/** A version whose instances go on in the version `to`, where they can: running, and what was begun is there unchanged. */
export const migrate = <A, B>(from: Definition<A, never>, to: Definition<B, never>, { data, ...migration }: Migration<A, B>): Older<A> => ({
  version: Versions.migrate(from, to, {
    ...migration,
    data: (before, steps) => {
      const after = data(before, steps);
      return after instanceof Stays ? Result.fail(after.reason) : Result.succeed(after);
    },
  }),
  read: readerOf(from),
});

/** Reads stored instances of `definition`. Throws at one that it cannot read. */
export const readerOf = <A>(definition: Definition<A, never>): ((stored: unknown) => Instance<A>) =>
  Schema.decodeUnknownSync(Schema.toCodecJson(SagaInstance.schemaOf(definition.data)));
