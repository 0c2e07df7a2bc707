/** docs/cli.md and docs/migrations.md, run. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PgStores } from "@org/saga-postgres";
import type { Layer } from "effect";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import * as CliFailure from "../src/CliFailure.ts";
import { open, type Shell, SLOW_MS } from "./Shell.ts";

const text = readFileSync(new URL("../../../docs/cli.md", import.meta.url), "utf8");
const lines = [...text.matchAll(/^saga .+$/gm)].map(([line]) => line);

vi.setConfig({ testTimeout: SLOW_MS });

let shell: Shell;
const home = process.cwd();
/** What commands write, they write here. */
const folder = mkdtempSync(join(tmpdir(), "saga-docs-"));
beforeAll(async () => {
  process.chdir(folder);
  shell = await open();
}, SLOW_MS);
afterAll(async () => {
  process.chdir(home);
  rmSync(folder, { recursive: true });
  await shell.close();
});

describe("docs/cli.md", () => {
  test("has examples of every command", () => {
    const commands = [
      "migrate up",
      "migrate down",
      "migrate status",
      "migrate create",
      "topics create",
      "topics list",
      "diagram",
      "check",
      "orders show",
      "orders cancel",
      "orders resume",
      "orders resolve",
      "outbox status",
      "outbox parked",
      "outbox retry",
      "outbox discard",
      "outbox decisions",
      "dlq list",
      "timers list",
      "timers reschedule",
      "stock show",
      "stock holds",
      "stock adjust",
      "stock reconcile",
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

/** The page's code for the start of a service, as it stands there. */
const atStart = (url: string): Layer.Layer<PgStores.PgStores, unknown> => {
  const stores = PgStores.layer({ url, schema: "order", tablePrefix: "shop_", migrations: ["app/migrations"] });
  return stores;
};

describe("docs/migrations.md", () => {
  const page = readFileSync(new URL("../../../docs/migrations.md", import.meta.url), "utf8");

  test("is a session that works, from its first line to its last", async () => {
    const fresh = await open();
    rmSync("app", { recursive: true, force: true });
    const ran: Array<string> = [];
    for (const [, language, body = ""] of page.matchAll(/^```(sh|sql)\n([^]*?)^```$/gm)) {
      // A block of SQL begins with the name of its file.
      if (language === "sql") writeFileSync(body.split("\n", 1)[0]?.slice("-- ".length) ?? "", body);
      for (const line of language === "sh" ? body.trimEnd().split("\n") : []) {
        expect([line, (await fresh.run(line.split(" ").slice(1))).code]).toEqual([line, CliFailure.OK]);
        ran.push(line);
      }
    }
    await fresh.close();
    expect(ran.length).toBeGreaterThan(8);
  });

  test("shows code that compiles", () => {
    const [, code = ""] = /^```ts\n([^]*?)^```$/m.exec(page) ?? [];
    expect(code).not.toBe("");
    expect(readFileSync(new URL(import.meta.url), "utf8").replaceAll(/^ +/gm, "")).toContain(code);
    expect(atStart).toBeTypeOf("function");
  });
});
