/** `npm start` as a process. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ServiceMain } from "@example/contracts";
import { expect, it } from "vitest";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

/** Starting Node on a busy machine. */
const START_MS = 30_000;

it(
  "says of a bad setting what to do, in one line on stderr, and ends with exit code 2",
  async () => {
    const env = { ...process.env, ORDER_PORT: "many" };
    await expect(promisify(execFile)(process.execPath, [...process.execArgv, MAIN], { env })).rejects.toMatchObject({
      code: ServiceMain.USAGE,
      stdout: "",
      stderr: 'ORDER_PORT is "many": set a whole number from 0 to 65535, or remove it for 3000\n',
    });
  },
  START_MS,
);
