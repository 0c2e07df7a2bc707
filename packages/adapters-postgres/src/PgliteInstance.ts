/**
 * An embedded PostgreSQL of a process's own. The services of the process share it, each with its schema.
 *
 * Making a new database cluster takes most of the start (measured: 3.4 s; 0.4 s from a snapshot of an empty one), so a
 * snapshot may be kept in a folder, one file a version of PGlite. It holds no data; it may be deleted at any time.
 */
import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import type { StoreError } from "@org/saga-core";
import { Effect, Predicate, type Scope } from "effect";
import * as PgError from "./PgError.ts";
import * as PgliteLock from "./PgliteLock.ts";

export type { PGlite } from "@electric-sql/pglite";

export interface Options {
  /** The folder of the data; without it they are in memory. One process at a time opens it: another is refused (`PgliteLock`). */
  readonly dataDir?: string | undefined;
  /** The folder of the snapshots, for instances in memory; without it none is kept. */
  readonly snapshots?: string | undefined;
}

/** Closed with the scope. A data folder that is open already, here or in another process, is a `Misuse`. */
export const open = (options: Options = {}): Effect.Effect<PGlite, StoreError, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = options.dataDir === undefined ? null : PgliteLock.folderOf(options.dataDir);
    // Given back after the instance is closed, or could not be opened.
    if (folder !== null) yield* Effect.acquireRelease(PgliteLock.take(folder), (giveBack) => giveBack);
    return yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () => start(options),
        catch: (cause) => PgError.classify("PgliteInstance.open", "statement", cause),
      }),
      (instance) => Effect.promise(() => (instance.closed ? Promise.resolve() : instance.close())),
    );
  });

const start = async ({ dataDir, snapshots }: Options): Promise<PGlite> => {
  if (dataDir !== undefined) return PGlite.create(dataDir);
  if (snapshots === undefined) return PGlite.create();
  const file = join(snapshots, `pglite-${await version()}.tar.gz`);
  return (await fromSnapshot(file)) ?? (await fresh(file));
};

/** Null, if there is none that works. */
const fromSnapshot = async (file: string): Promise<PGlite | null> => {
  try {
    return await PGlite.create({ loadDataDir: new Blob([await readFile(file)]) });
  } catch {
    return null;
  }
};

const fresh = async (file: string): Promise<PGlite> => {
  const instance = await PGlite.create();
  const part = `${file}.${randomUUID()}`;
  try {
    await mkdir(join(file, ".."), { recursive: true });
    const snapshot = await instance.dumpDataDir("gzip");
    // Written aside and renamed: a process that dies half-way, or starts at the same time, leaves no half file.
    await writeFile(part, Buffer.from(await snapshot.arrayBuffer()));
    await rename(part, file);
  } catch {
    // It only saves time: a folder that cannot be written is no reason not to start.
    await rm(part, { force: true }).catch(() => undefined);
  }
  return instance;
};

/** The installed PGlite's. A bundle has no package.json beside it: then there is one snapshot for all versions, checked by loading it. */
const version = async (): Promise<string> => {
  try {
    const entry = createRequire(import.meta.url).resolve("@electric-sql/pglite");
    const manifest: unknown = JSON.parse(await readFile(join(entry, "..", "..", "package.json"), "utf8"));
    if (Predicate.hasProperty(manifest, "version") && typeof manifest.version === "string") return manifest.version;
  } catch {
    // Below.
  }
  return "bundled";
};
