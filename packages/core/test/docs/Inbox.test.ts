/** The code of docs/guides/inbox.md compiles, and does what it says. */
import { readFileSync } from "node:fs";
import { Effect, Layer, Result } from "effect";
import { beforeEach, describe, expect, it } from "vitest";
import { MemoryBus, MemoryDatabase, MemoryStores, type MessageBus, Retention } from "@org/saga-core";
import { Simulator } from "@org/saga-core/testing";
import { direct, seen, sent, service } from "./storedConsumer.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

const guide = read("../../../../docs/guides/inbox.md");

describe("the guide of the inbox", () => {
  beforeEach(() => void seen.splice(0));

  it("shows the code of storedConsumer.ts, which compiles", () => {
    expect(guide).toContain(`\`\`\`ts\n${read("./storedConsumer.ts")}\`\`\``);
  });

  const consumers: ReadonlyArray<readonly [string, Layer.Layer<never, unknown, MemoryStores.Ports | MessageBus>]> = [
    ["direct", direct],
    ["stored", service],
  ];
  for (const [name, consumer] of consumers) {
    it(`shows a ${name} consumer that handles what comes`, () => {
      const run = Simulator.run(
        { seed: 1, limitMillis: 60_000 },
        Effect.gen(function* () {
          const broker = yield* MemoryBus.make();
          broker.ensure("billing.events");
          broker.append(["a", "b", "c"].map(sent));
          const ports = Layer.merge(MemoryBus.layerOf(broker), MemoryStores.layerOf(yield* MemoryDatabase.make));
          yield* Effect.raceFirst(Layer.launch(Layer.provide(consumer, ports)), Effect.sleep(5_000));
        }),
      );
      expect(run.exit._tag, name === "stored" ? Simulator.explain(run.exit) : name).toBe("Success");
      expect(seen.toSorted()).toEqual(["a", "b", "c"]);
    });
  }

  it("names the default durations, and the message of a policy that does not fit", () => {
    for (const words of ["3 days", "1 day", "36 hours", "1 hour"]) expect(guide).toContain(words);
    const refused = Retention.make({ inbox: "1 day" });
    expect(guide).toContain(Result.isFailure(refused) ? refused.failure.message : "fits");
  });

  it("links to files that exist", () => {
    for (const [, target] of guide.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      expect(() => readFileSync(new URL(target ?? "", new URL("../../../../docs/guides/", import.meta.url))), target).not.toThrow(/ENOENT/);
    }
  });
});
