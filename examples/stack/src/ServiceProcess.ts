/**
 * A service of the shop as an operating system process: start, wait until ready, kill, start again.
 *
 * It has a process group of its own: Ctrl-C reaches the parent only, which ends the services in its own order. An exit of
 * the parent kills it; one that the parent cannot see (SIGKILL) is for the `guard` to act on.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** Where the folders of the examples are. */
const EXAMPLES = new URL("../../", import.meta.url);

const NODE_FLAGS = ["--conditions=@org/source", "--disable-warning=ExperimentalWarning", "--disable-warning=TimeoutNegativeWarning"];

/** How long a service may take to end by itself after SIGTERM, in milliseconds: longer than it drains its requests. */
const STOP_WITHIN_MS = 20_000;

/** How long a service may take until it is ready, in milliseconds: it waits for its servers itself. */
const READY_WITHIN_MS = 60_000;

/** Rest between two looks, in milliseconds. */
const POLL_MS = 50;

export interface Options {
  /** The folder below examples/. */
  readonly service: string;
  readonly env: Readonly<Record<string, string>>;
  /** `http://127.0.0.1:<port>`, where /readyz is asked. */
  readonly url: string;
  /** Where its output goes; null: nowhere. */
  readonly logFile: string | null;
  /** Told of each process that is started; what it returns is called when that one has ended. */
  readonly guard?: Guard | undefined;
}

export type Guard = (pid: number) => () => void;

const alive = new Set<ServiceProcess>();

process.once("exit", () => {
  for (const service of alive) service.signal("SIGKILL");
});

export class ServiceProcess {
  readonly name: string;
  readonly url: string;
  readonly #options: Options;
  #child: ChildProcess | null = null;
  #ended: Promise<number | null> = Promise.resolve(null);

  constructor(options: Options) {
    this.name = options.service;
    this.url = options.url;
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== null;
  }

  start(): void {
    if (this.#child !== null) return;
    const { service, env, logFile, guard } = this.#options;
    const main = fileURLToPath(new URL(`${service}/src/main.ts`, EXAMPLES));
    // Straight into the file: a busy parent never blocks its services.
    const log = logFile === null ? null : openSync(logFile, "a");
    const child = spawn(process.execPath, [...NODE_FLAGS, main], {
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["ignore", log ?? "ignore", log ?? "ignore"],
    });
    if (log !== null) closeSync(log);
    this.#child = child;
    alive.add(this);
    const release = child.pid === undefined ? undefined : guard?.(child.pid);
    this.#ended = new Promise((resolve) => {
      child.once("error", () => {
        if (this.#child === child) this.#child = null;
        alive.delete(this);
        resolve(null);
      });
      child.once("close", (code) => {
        release?.();
        if (this.#child === child) this.#child = null;
        alive.delete(this);
        resolve(code);
      });
    });
  }

  /** Waits until /readyz says 200; fails when the process ends before that or takes too long. */
  async ready(withinMillis: number = READY_WITHIN_MS): Promise<void> {
    const deadline = Date.now() + withinMillis;
    while (Date.now() < deadline) {
      if (this.#child === null) throw new Error(`${this.name} ended before it was ready${this.#hint()}`);
      const ok = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(2_000) }).then(
        (response) => response.ok,
        () => false,
      );
      if (ok) return;
      await sleep(POLL_MS);
    }
    throw new Error(`${this.name} was not ready within ${withinMillis} ms${this.#hint()}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** kill -9, and gone. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#ended;
  }

  /** Asks it to end; kills it if it does not. The exit code; null if it was killed or did not run. */
  async stop(): Promise<number | null> {
    this.signal("SIGTERM");
    const code = await Promise.race([this.#ended, sleep(STOP_WITHIN_MS, "late" as const, { ref: false })]);
    if (code !== "late") return code;
    await this.kill();
    return null;
  }

  #hint(): string {
    return this.#options.logFile === null ? "" : `: see ${this.#options.logFile}`;
  }
}
