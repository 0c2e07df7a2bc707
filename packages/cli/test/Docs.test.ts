/** docs/cli.md, run. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import * as CliFailure from "../src/CliFailure.ts";
import { open, type Shell, SLOW_MS } from "./Shell.ts";

const text = readFileSync(new URL("../../../docs/cli.md", import.meta.url), "utf8");
const lines = [...text.matchAll(/^saga .+$/gm)].map(([line]) => line);

vi.setConfig({ testTimeout: SLOW_MS });

let shell: Shell;
beforeAll(async () => {
  shell = await open();
}, SLOW_MS);
afterAll(() => shell.close());

describe("docs/cli.md", () => {
  test("has examples of every command", () => {
    const commands = [
      "migrate up",
      "migrate down",
      "migrate status",
      "topics create",
      "topics list",
      "diagram",
      "orders show",
      "orders cancel",
      "orders resume",
      "outbox status",
      "dlq list",
      "timers list",
      "timers reschedule",
    ];
    for (const command of commands) expect(lines.some((line) => line.startsWith(`saga ${command}`))).toBe(true);
  });

  test.each(lines)("shows a command line that is understood: %s", async (line) => {
    const { code, stderr } = await shell.run(line.split(" ").slice(1));
    expect([code === CliFailure.USAGE, stderr.includes("unexpected")]).toEqual([false, false]);
  });

  test("tells every exit code", () => {
    for (const code of [
      CliFailure.OK,
      CliFailure.FAILED,
      CliFailure.USAGE,
      CliFailure.FINDINGS,
      CliFailure.UNREACHABLE,
      CliFailure.INTERRUPTED,
    ]) {
      expect(text).toMatch(new RegExp(`^\\| ${code} \\|`, "m"));
    }
  });
});
