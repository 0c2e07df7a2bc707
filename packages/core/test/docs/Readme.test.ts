import { readFileSync } from "node:fs";
import { Effect, Result } from "effect";
import { describe, expect, it } from "vitest";
import { MemoryDatabase, MemoryStores, SagaDecider } from "@org/saga-core";
import { decided, placeTwice, Trip } from "./quickstart.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

describe("the README", () => {
  it("shows the code of quickstart.ts, which compiles", () => {
    expect(read("../../../../README.md")).toContain(`\`\`\`ts\n${read("./quickstart.ts")}\`\`\``);
  });

  it("shows code that does what it says", async () => {
    expect(Result.isSuccess(decided) && decided.success.map(({ _tag }) => _tag)).toEqual(["Placed"]);
    const [, sends] = SagaDecider.transition(Trip, null, { _tag: "Start", id: "t-1", data: { trip: "t-1" }, now: 0 });
    expect(sends.map(({ _tag }) => _tag)).toEqual(["Message", "Schedule"]);
    const stores = MemoryStores.layerOf(Effect.runSync(MemoryDatabase.make));
    await expect(Effect.runPromise(Effect.scoped(placeTwice).pipe(Effect.provide(stores)))).resolves.toEqual([
      [false, true],
      [true, true],
    ]);
  });

  it("links to files that exist", () => {
    for (const page of ["README.md", "docs/architecture.md", "CONTRIBUTING.md"]) {
      const text = read(`../../../../${page}`);
      for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        expect(
          () => readFileSync(new URL(target ?? "", new URL(`../../../../${page}`, import.meta.url))),
          `${page}: ${target}`,
        ).not.toThrow(/ENOENT/);
      }
    }
  });
});
