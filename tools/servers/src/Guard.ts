/**
 * Sees to it that nothing outlives this process, however it ends (exit, Ctrl-C, SIGKILL): one small guard process a process, started
 * with the first entry. This process needs no signal handlers for that, and keeps its own way to end.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";

/** What is done when the parent is gone. */
export interface Protected {
  /** A process (and its group) to end. */
  readonly pid?: number;
  /** How to ask it first; default SIGKILL. */
  readonly signal?: NodeJS.Signals;
  /** A folder to remove. */
  readonly folder?: string;
  /** A program to run, with its arguments. */
  readonly command?: readonly string[];
}

/** A line of the guard's standard input, as JSON. `null` takes the entry back. */
export interface Line {
  readonly id: number;
  readonly entry: Protected | null;
}

let guard: ChildProcess | undefined;
let lastId = 0;

/** Puts an entry on the guard's list; the result takes it off again. */
export function protect(entry: Protected): () => void {
  guard ??= startGuard();
  const id = ++lastId;
  send({ id, entry });
  return () => send({ id, entry: null });
}

function startGuard(): ChildProcess {
  const child = spawn(process.execPath, [fileURLToPath(new URL("./guard.main.ts", import.meta.url))], {
    cwd: tmpdir(),
    // Options of this process (loaders, coverage, inspector) are not the guard's.
    env: { ...process.env, NODE_OPTIONS: "", NODE_V8_COVERAGE: "" },
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
    windowsHide: true,
  });
  child.on("error", () => undefined);
  child.stdin?.on("error", () => undefined);
  child.unref();
  if (child.stdin instanceof Socket) child.stdin.unref();
  return child;
}

function send(line: Line): void {
  guard?.stdin?.write(`${JSON.stringify(line)}\n`);
}
