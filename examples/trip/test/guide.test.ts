/** The code of docs/guides/your-own-saga.md compiles, and does what it says. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { diagram, rent, report } from "./docs/yourOwnSaga.ts";

const GUIDES = new URL("../../../docs/guides/", import.meta.url);
const guide = readFileSync(new URL("your-own-saga.md", GUIDES), "utf8");
const source = readFileSync(new URL("docs/yourOwnSaga.ts", import.meta.url), "utf8");

const blocks = (text: string, pattern: RegExp): ReadonlyArray<string | undefined> => [...text.matchAll(pattern)].map(([, code]) => code);

describe("the guide of one's own saga", () => {
  it("shows every part of yourOwnSaga.ts as it is, and no other code", () => {
    const regions = blocks(source, /^\/\/ #region \w+\n([\s\S]*?)^\/\/ #endregion$/gm);
    expect(regions).toHaveLength(5);
    expect(blocks(guide, /^```ts\n([\s\S]*?)^```$/gm)).toEqual(regions);
  });

  it("shows the diagram that is drawn from the definition", () => {
    expect(blocks(guide, /^```mermaid\n([\s\S]*?)^```$/gm)).toEqual([`${diagram.trimEnd()}\n`]);
  });

  it("says how a rental ends", async () => {
    expect(report).toMatchObject({ saga: "rental@1" });
    expect(await rent("a", "red", 900)).toMatchObject({ status: "completed", data: { code: "4711" } });
    expect(await rent("b", "stolen", 900)).toMatchObject({ status: "compensated", failure: { step: "reserve-bike", reason: "gone" } });
    expect(await rent("c", "blue", 20_000)).toMatchObject({
      status: "compensated",
      failure: { step: "pay", reason: "declined" },
      steps: { "reserve-bike": "undone" },
    });
  });

  it("has no link that leads nowhere", () => {
    const targets = blocks(guide, /\]\(([^)#]+)\)/g);
    expect(targets.length).toBeGreaterThan(3);
    expect(targets.filter((target) => target === undefined || !existsSync(new URL(target, GUIDES)))).toEqual([]);
  });
});
