/**
 * One process at a time has a data folder: PGlite itself lets a second one in, and the two overwrite each other's commits.
 *
 * Each puts a file of its own into the folder, and only then looks for those of others: of two that come at once at least one
 * sees the other. Who finds a live one takes its own back and is refused. Those of processes that died are removed.
 *
 * It keeps out what opens the folder through this package, not other programs. On another host nobody can see whether a process
 * lives: what it left there has to be removed by hand.
 */
import { randomUUID } from "node:crypto";
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { StoreError } from "@org/saga-core";
import { Effect, Predicate } from "effect";
import * as PgError from "./PgError.ts";

/** Takes the folder, and makes it where it is missing. Answers with what gives it back. */
export const take = (folder: string): Effect.Effect<Effect.Effect<void>, StoreError> =>
  Effect.flatMap(
    Effect.tryPromise({ try: () => enter(folder), catch: (cause) => PgError.classify(OPERATION, "statement", cause) }),
    ({ own, other }) => {
      if (other === null) return Effect.succeed(Effect.promise(() => rm(own, { force: true })));
      const who = other.host === hostname() ? `process ${other.pid}` : `process ${other.pid} of host ${other.host}`;
      const message = `the data folder ${resolve(folder)} is in use by ${who}: one process at a time may open it, once. End that one, or use a PostgreSQL server. If there is no such process any more, remove the file ${other.file} from the folder`;
      return Effect.fail(new StoreError({ reason: "Misuse", operation: OPERATION, message }));
    },
  );

/** The folder on disk of what PGlite calls a data folder; null: the data are elsewhere, in this process. */
export const folderOf = (dataDir: string): string | null => {
  if (dataDir.startsWith(FILE_SCHEME)) return dataDir.slice(FILE_SCHEME.length);
  return dataDir === "" || /^[a-z-]+:\/\//.test(dataDir) ? null : dataDir;
};

const OPERATION = "PgliteInstance.open";
const FILE_SCHEME = "file://";

interface Holder {
  readonly file: string;
  readonly pid: number;
  readonly host: string;
}

const NAME = /^saga\.lock\.(\d+)\.[0-9a-f-]{36}\.(.+)$/;

const enter = async (folder: string): Promise<{ readonly own: string; readonly other: Holder | null }> => {
  await mkdir(folder, { recursive: true });
  // All that has to be known is in its name: nobody finds it half-written.
  const name = `saga.lock.${process.pid}.${randomUUID()}.${encodeURIComponent(hostname())}`;
  const own = join(folder, name);
  await writeFile(own, "", { flag: "wx" });
  try {
    const other = await liveIn(folder, name);
    if (other !== null) await rm(own, { force: true });
    return { own, other };
  } catch (cause) {
    await rm(own, { force: true });
    throw cause;
  }
};

const liveIn = async (folder: string, own: string): Promise<Holder | null> => {
  for (const file of await readdir(folder)) {
    const [, pid, host] = NAME.exec(file) ?? [];
    if (file === own || pid === undefined || host === undefined) continue;
    const holder: Holder = { file, pid: Number(pid), host: decodeURIComponent(host) };
    if (holder.host !== hostname() || (await isLive(join(folder, file), holder.pid))) return holder;
    // Its name is its own for ever: nobody else's is removed.
    await rm(join(folder, file), { force: true });
  }
  return null;
};

const isLive = async (file: string, pid: number): Promise<boolean> => {
  // In a container a process often has the number of the one before it: then its file is older than this process.
  if (pid === process.pid) return (await stat(file)).mtimeMs >= Date.now() - process.uptime() * 1_000;
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    // Anything else is said of a process that is there, another user's for instance.
    return !(Predicate.hasProperty(cause, "code") && cause.code === "ESRCH");
  }
};
