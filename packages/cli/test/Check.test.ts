import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Checkout, SagaCheck } from "@org/saga-core";
import { Layer } from "effect";
import { afterAll, describe, expect, test } from "vitest";
import * as CliFailure from "../src/CliFailure.ts";
import * as Databases from "../src/Databases.ts";
import { memoryBrokers, type Ran, runWith } from "./Shell.ts";

const services = Layer.merge(Databases.layer, memoryBrokers(new Set()));

const check = (...args: ReadonlyArray<string>): Promise<Ran> => runWith(services, ["check", ...args]);

const sagas = fileURLToPath(new URL("./Sagas.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "saga-check-"));
afterAll(() => rmSync(folder, { recursive: true }));

const moduleOf = (text: string): string => {
  const file = join(folder, `m${text.length}.mjs`);
  writeFileSync(file, text);
  return file;
};

describe("saga check", () => {
  test("prints what it visited and how long that took, of every saga that the module exports", async () => {
    const { code, stdout, stderr } = await check(relative(process.cwd(), sagas));
    expect([code, stderr]).toEqual([CliFailure.OK, ""]);
    const [report, took] = stdout.split("\n\n");
    expect(report).toBe(SagaCheck.reportText(SagaCheck.check(Checkout.make())));
    expect(took).toMatch(/^It took \d+ ms\.$/);
  });

  test("ends with 1 when there are more states than it may visit, and says so", async () => {
    const { code, stdout, stderr } = await check(sagas, "--states", "5");
    expect([code, stderr]).toEqual([CliFailure.FAILED, "saga: 1 of 1 sagas did not pass"]);
    expect(stdout).toContain('saga "checkout@1" is not checked: it has more than 5 states');
  });

  test("prints the same as JSON", async () => {
    const { code, stdout } = await check(sagas, "--json", "--states", "5", "--rounds", "1");
    const bounds = { states: 5, rounds: 1 };
    expect(code).toBe(CliFailure.FAILED);
    expect(JSON.parse(stdout)).toEqual([
      expect.objectContaining({ _tag: "BudgetSpent", saga: "checkout@1", bounds, states: 5, millis: expect.any(Number) }),
    ]);
  });

  test.each([
    ["is not there", join(tmpdir(), "saga-check-nothing", "none.mjs"), CliFailure.FAILED, /^saga: cannot load .*none\.mjs: /],
    ["throws", moduleOf("throw new Error('no luck')"), CliFailure.FAILED, /^saga: cannot load .*: no luck$/],
    [
      "exports a saga without a pivot",
      moduleOf("export const saga = { name: 'trip', phase: 'open', steps: [{ name: 'seat' }] }"),
      CliFailure.FAILED,
      /^saga: saga "trip" has no pivot, so it is not checked: declare .* Saga\.pivot, or do not export it$/,
    ],
    ["exports no saga", moduleOf("export const saga = { phase: 'open', steps: [] }"), CliFailure.USAGE, /exports no saga: export what/],
  ])("says what is wrong with a module that %s", async (_, module, expected, message) => {
    const { code, stdout, stderr } = await check(module);
    expect([code, stdout]).toEqual([expected, ""]);
    expect(stderr).toMatch(message);
  });
});
