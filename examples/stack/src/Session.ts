/**
 * One run of a program that starts other things: what was begun is ended, last first, however the run ends, and a signal
 * asks it to end. Later signals change nothing: the terminal and npm may both hand one on.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The run was asked to end. */
export class Interrupted extends Error {}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Sees to it that a folder goes even if this process is killed; what it returns takes that back. */
export type FolderGuard = (folder: string) => () => void;

export class Session {
  /** Whether nothing went wrong: then nobody needs its temporary folders any more. */
  isWell = false;
  readonly #endings: Array<() => Promise<unknown>> = [];
  readonly #interrupted: Promise<never>;
  readonly #guard: FolderGuard;

  constructor(guard: FolderGuard = () => () => undefined) {
    this.#guard = guard;
    this.#interrupted = new Promise((_, reject) => {
      for (const signal of SIGNALS) process.on(signal, () => reject(new Interrupted(signal)));
    });
    this.#interrupted.catch(() => undefined);
  }

  onEnd(ending: () => Promise<unknown>): void {
    this.#endings.push(ending);
  }

  /** Its result; fails with `Interrupted` as soon as the run is asked to end. */
  untilAsked<A>(work: Promise<A>): Promise<A> {
    return Promise.race([work, this.#interrupted]);
  }

  /** A folder that the user named and keeps, or a temporary one, which stays only if something went wrong. */
  async folder(name: string, asked: string | null): Promise<string> {
    if (asked !== null) {
      const folder = resolve(asked);
      await mkdir(folder, { recursive: true });
      return folder;
    }
    const folder = await mkdtemp(join(tmpdir(), `saga-${name}-`));
    const release = this.#guard(folder);
    this.onEnd(async () => {
      release();
      if (this.isWell) await rm(folder, { recursive: true, force: true });
      else process.stderr.write(`${name}: ${folder}\n`);
    });
    return folder;
  }

  /** Ends what was begun; what cannot be ended keeps nothing else. */
  async end(): Promise<void> {
    for (const ending of this.#endings.toReversed()) {
      await ending().catch((error: unknown) => process.stderr.write(`${messageOf(error)}\n`));
    }
  }
}
