/** The code of docs/guides/stock.md compiles, and is a stock; its links lead somewhere. */
import { existsSync, readFileSync } from "node:fs";
import { Layer } from "effect";
import { describe, expect, it } from "vitest";
import { stock } from "./hybridStock.ts";

const GUIDES = new URL("../../../docs/guides/", import.meta.url);

const guide = readFileSync(new URL("stock.md", GUIDES), "utf8");

describe("the guide of stock", () => {
  it("shows the code of hybridStock.ts, which makes a layer", () => {
    expect(guide).toContain(`\`\`\`ts\n${readFileSync(new URL("hybridStock.ts", import.meta.url), "utf8")}\`\`\``);
    expect(Layer.isLayer(stock)).toBe(true);
  });

  it("has no link that leads nowhere", () => {
    const targets = [...guide.matchAll(/\]\(([^)#]+)\)/g)].flatMap(([, target]) => (target === undefined ? [] : [target]));
    expect(targets.length).toBeGreaterThan(3);
    expect(targets.filter((target) => !existsSync(new URL(target, GUIDES)))).toEqual([]);
  });
});
