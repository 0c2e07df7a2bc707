/**
 * The guard: a process that outlives its parent by a moment. Its standard input is a pipe that only the parent holds; when that ends, for
 * whatever reason and by whatever signal, it ends what is still on its list and removes the temporary folders.
 */
import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { Line, Protected } from "./Guard.ts";

/** What does not follow its own signal within this time gets SIGKILL. */
const GRACE_MS = 3_000;
const POLL_MS = 20;

const entries = new Map<number, Protected>();

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  // First the whole group; on Windows, which has none, the process.
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, name);
      return true;
    } catch {
      // gone, or no group
    }
  }
  return false;
}

async function cleanUp(): Promise<void> {
  const pids: number[] = [];
  for (const entry of entries.values()) {
    if (entry.pid === undefined) continue;
    pids.push(entry.pid);
    signal(entry.pid, entry.signal ?? "SIGKILL");
    signal(entry.pid, "SIGCONT");
  }
  for (let waited = 0; waited < GRACE_MS && pids.some((pid) => signal(pid, 0)); waited += POLL_MS) await sleep(POLL_MS);
  for (const pid of pids) signal(pid, "SIGKILL");
  for (const { folder, command } of entries.values()) {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true, maxRetries: 10 }).catch(() => undefined);
    if (command?.[0] !== undefined) execFile(command[0], command.slice(1), () => undefined);
  }
}

process.on("SIGINT", () => undefined);
process.on("SIGHUP", () => undefined);

createInterface({ input: process.stdin })
  .on("line", (text) => {
    const line = JSON.parse(text) as Line;
    if (line.entry === null) entries.delete(line.id);
    else entries.set(line.id, line.entry);
  })
  .on("close", () => void cleanUp());
