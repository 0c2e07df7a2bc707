import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as Shard from "../../src/domain/Shard.ts";

describe("Shard", () => {
  it("is FNV-1a with the published values", () => {
    // Test vectors of Fowler, Noll and Vo, draft-eastlake-fnv.
    expect(Shard.fnv1a("")).toBe(0x811c9dc5);
    expect(Shard.fnv1a("a")).toBe(0xe40c292c);
    expect(Shard.fnv1a("foobar")).toBe(0xbf9cf968);
  });

  it("never changes: a recorded key stays in its shard", () => {
    expect(["order-1", "order-2", "Grüße", "世界", "👋", ""].map((key) => Shard.of(key, 64))).toMatchInlineSnapshot(`
      [
        18,
        11,
        26,
        41,
        25,
        25,
      ]
    `);
  });

  it("hashes the UTF-8 bytes of any text, as an encoder gives them", () => {
    const encoder = new TextEncoder();
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        let hash = 0x811c9dc5;
        for (const byte of encoder.encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
        expect(Shard.fnv1a(text)).toBe(hash >>> 0);
      }),
    );
    expect(Shard.fnv1a("\ud800")).toBe(Shard.fnv1a("\ufffd"));
  });

  it("stays within the shards and uses all of them evenly", () => {
    const used = Array.from({ length: 64 }, () => 0);
    for (let index = 0; index < 64_000; index += 1) {
      const shard = Shard.of(`order-${index}`, 64);
      used[shard] = (used[shard] ?? 0) + 1;
    }
    expect(used).toHaveLength(64);
    expect(Math.min(...used)).toBeGreaterThan(800);
    expect(Math.max(...used)).toBeLessThan(1_200);
  });
});
