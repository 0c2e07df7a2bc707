/** Finding and running the programs of this machine. */
import { type ExecFileOptions, execFile } from "node:child_process";
import { accessSync, constants, globSync } from "node:fs";
import { delimiter, join } from "node:path";

/** What one run of a tool may print before it counts as broken, in bytes. */
const OUTPUT_MAX_BYTES = 16 * 1024 * 1024;

/** All places of a program, the best one first: folders of the PATH, then the given patterns with the newest version first. */
export function findPrograms(name: string, patterns: readonly string[] = []): string[] {
  // Native servers are for Linux and macOS; on Windows they come from Docker.
  if (process.platform === "win32") return [];
  const path = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const folders = [...path, ...patterns.flatMap((pattern) => globSync(pattern).sort(newestFirst))];
  return folders.map((folder) => join(folder, name)).filter(isExecutable);
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const newestFirst = (a: string, b: string) => b.localeCompare(a, "en", { numeric: true });

export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Fails with the end of what it printed. */
export function run(command: string, args: readonly string[], options: ExecFileOptions = {}): Promise<Output> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { maxBuffer: OUTPUT_MAX_BYTES, ...options, encoding: "utf8" }, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr });
      else reject(new Error(`${command} failed: ${lastLines(`${stdout}\n${stderr}`) || error.message}`, { cause: error }));
    });
  });
}

const LINES_SHOWN = 20;

export function lastLines(text: string): string {
  return text.trim().split("\n").slice(-LINES_SHOWN).join("\n");
}
