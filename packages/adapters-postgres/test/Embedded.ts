/** An embedded database for a test file. Files share a snapshot of an empty one, so that each starts quickly. */
import { fileURLToPath } from "node:url";
import type { PGlite } from "@electric-sql/pglite";
import { Effect, Exit, Scope } from "effect";
import * as PgliteInstance from "../src/PgliteInstance.ts";

/** Where there is no snapshot yet, a database cluster is made anew. */
export const START_TIMEOUT_MS = 60_000;

export const SNAPSHOTS = fileURLToPath(new URL("../../../.cache/pglite", import.meta.url));

export interface Embedded {
  readonly instance: PGlite;
  readonly close: () => Promise<void>;
}

export const start = async (): Promise<Embedded> => {
  const scope = Scope.makeUnsafe();
  const instance = await Effect.runPromise(Scope.provide(PgliteInstance.open({ snapshots: SNAPSHOTS }), scope));
  return { instance, close: () => Effect.runPromise(Scope.close(scope, Exit.void)) };
};
