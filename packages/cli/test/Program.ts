/** The program `saga` as a process of its own, from its source. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Ran } from "./Shell.ts";

const BIN = fileURLToPath(new URL("../src/bin.ts", import.meta.url));
const FLAGS = ["--conditions=@org/source", "--disable-warning=ExperimentalWarning", "--disable-warning=TimeoutNegativeWarning"];

/** With nothing in the environment but what is given. */
export const saga = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}): Promise<Ran> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...FLAGS, BIN, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
    const output = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output.stdout += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (output.stderr += chunk));
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === null) reject(new Error(`saga ended by ${signal}: ${output.stderr}`));
      else resolve({ code, ...output });
    });
  });
