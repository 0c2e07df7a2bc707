/**
 * The libraries that are compared with, in `bench/peers`: npm installs them from their own lock when a bench needs them, not with
 * the workspace (docs/decisions/0009-bench-peers.md). No install script runs.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../peers", import.meta.url));
const STAMP = join(FOLDER, "node_modules", ".bench-stamp");

/** Installs what the lock says, unless it is there already. */
export const install = async (say: (line: string) => void): Promise<void> => {
  const lock = readFileSync(join(FOLDER, "package-lock.json"), "utf8");
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === lock) return;
  say("Installing the peers (once) ...");
  rmSync(STAMP, { force: true });
  const { command, prefix, shell } = npm();
  const output: Array<Buffer> = [];
  const code = await new Promise<number | null>((resolve, reject) => {
    const argv = [...prefix, "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
    const child = spawn(command, argv, { cwd: FOLDER, shell, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new Error(`the peers in bench/peers could not be installed:\n${Buffer.concat(output).toString()}`);
  writeFileSync(STAMP, lock);
};

/** The npm that runs this, or that came with this Node, as a script: no shell needed. Else the one on the PATH. */
const npm = (): { readonly command: string; readonly prefix: ReadonlyArray<string>; readonly shell: boolean } => {
  const bin = dirname(process.execPath);
  const script = [
    process.env["npm_execpath"],
    join(bin, "..", "lib", "node_modules", "npm", "bin", "npm-cli.js"),
    join(bin, "node_modules", "npm", "bin", "npm-cli.js"),
  ].find((path) => path !== undefined && path.endsWith("npm-cli.js") && existsSync(path));
  if (script !== undefined) return { command: process.execPath, prefix: [script], shell: false };
  return process.platform === "win32" ? { command: "npm.cmd", prefix: [], shell: true } : { command: "npm", prefix: [], shell: false };
};
