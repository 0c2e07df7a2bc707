/**
 * One server process: in a process group of its own (Ctrl-C does not reach it before our own shutdown does), its output in a file (so that
 * a busy parent never blocks it), ended by the guard should this process die, and no reason for this process to stay alive.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { protect } from "./Guard.ts";
import { lastLines, run } from "./Programs.ts";
import type { Owner } from "./WorkFolder.ts";

export interface Spec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Working folder, and place of the log. */
  readonly folder: string;
  readonly owner?: Owner | undefined;
  /** What the log says once the server answers. */
  readonly ready: string;
  /** Ends it in order. */
  readonly stopSignal: NodeJS.Signals;
  /** Ends it at once, for data that nobody needs any more. */
  readonly quickSignal: NodeJS.Signals;
}

/** Far longer than any of the servers takes on a busy machine. */
const READY_TIMEOUT_MS = 60_000;
/** Then it is killed. */
const STOP_TIMEOUT_MS = 15_000;
const POLL_MS = 10;

export class ServerProcess {
  readonly spec: Spec;
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();

  constructor(spec: Spec) {
    this.spec = spec;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.spec.name} was never started`);
    return pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get logFile(): string {
    return join(this.spec.folder, "server.log");
  }

  /** Resolves when the server answers; fails with the end of its log. */
  async start(): Promise<void> {
    const { spec } = this;
    const log = openSync(this.logFile, "w");
    const child = spawn(spec.command, spec.args, {
      cwd: spec.folder,
      detached: true,
      stdio: ["ignore", log, log],
      ...(spec.owner === undefined ? {} : { uid: spec.owner.uid, gid: spec.owner.gid }),
    });
    closeSync(log);
    this.#child = child;
    this.#exited = once(child, "exit").catch(() => undefined);
    await once(child, "spawn");
    const release = protect({ pid: this.pid, signal: spec.quickSignal });
    child.once("exit", release);
    child.unref();
    await this.#untilReady();
  }

  /** Sends a signal to the server and all its processes. SIGKILL: resolves when they are gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (!this.isRunning) return;
    const pids = await family(this.pid);
    for (const pid of pids) send(pid, signal);
    if (signal === "SIGKILL") await this.#gone();
  }

  /** Ends the server; kills it if it does not follow. */
  async end(how: "in order" | "quickly"): Promise<void> {
    if (!this.isRunning) return;
    send(this.pid, how === "quickly" ? this.spec.quickSignal : this.spec.stopSignal);
    await this.kill("SIGCONT");
    const late = setTimeout(() => void this.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await this.#gone();
    clearTimeout(late);
  }

  async #gone(): Promise<void> {
    this.#child?.ref();
    await this.#exited;
  }

  async #untilReady(): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    for (;;) {
      const running = this.isRunning;
      const log = await readFile(this.logFile, "utf8");
      if (running && log.includes(this.spec.ready)) return;
      if (running && performance.now() < deadline) {
        await sleep(POLL_MS);
        continue;
      }
      await this.kill();
      const why = running ? `not ready after ${READY_TIMEOUT_MS} ms` : `it ended with ${this.#child?.signalCode ?? this.#child?.exitCode}`;
      throw new Error(`${this.spec.name} did not start (${why}):\n${lastLines(log)}`);
    }
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself in the meantime.
  }
}

/** A process and its children. They may have left its process group: PostgreSQL's do. */
async function family(pid: number): Promise<number[]> {
  const table = await run("ps", ["-A", "-o", "pid=", "-o", "ppid="]).catch(() => ({ stdout: "" }));
  const children = table.stdout
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parent]) => parent === pid)
    .map(([child]) => child)
    .filter((child) => child !== undefined);
  return [pid, ...children];
}
