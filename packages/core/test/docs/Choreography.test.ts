/** The code of docs/guides/choreography.md compiles, and does what it says. */
import { readFileSync } from "node:fs";
import { Effect } from "effect";
import { describe, expect, it } from "vitest";
import { MemoryBus } from "@org/saga-core";
import { simulate } from "../flow/Harness.ts";
import { checkout, inventory } from "./choreography.ts";
import { book, trip, Trips, tripsLayer } from "./ownChoreography.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

describe("the guide to choreography", () => {
  it("shows this code", () => {
    expect(read("../../../../docs/guides/choreography.md")).toContain(read("./choreography.ts"));
    expect(read("../../../../docs/guides/choreography.md")).toContain(`\`\`\`ts\n${read("./ownChoreography.ts")}\`\`\``);
  });

  it("gives each service its own steps, and the pivot's owner the last word", () => {
    expect([checkout.home.service, checkout.arbiter.service]).toEqual(["order", "payment"]);
    expect([...inventory.owns]).toEqual(["reserve-stock", "commit-stock", "ship-stock"]);
    const types = inventory.hears.map(({ type }) => type);
    expect(types).toContain("payment.balance-sufficient.v1");
    expect(types).not.toContain("payment.declined.v1");
  });

  it("starts a saga of one's own at its home, once", () => {
    expect([trip.home.service, trip.arbiter.service]).toEqual(["travel", "bank"]);
    const sent = simulate(({ database }) =>
      Effect.gen(function* () {
        const begun = Effect.gen(function* () {
          expect([yield* book("t", "12A", 90), yield* book("t", "12A", 90)]).toEqual(["Started", "AlreadyThere"]);
          return yield* (yield* Trips).find("t");
        });
        const topics = MemoryBus.make().pipe(
          Effect.tap((broker) => Effect.sync(() => trip.home.catalogue.topics.map((topic) => broker.ensure(topic)))),
        );
        const found = yield* begun.pipe(Effect.provide(tripsLayer), Effect.provide(MemoryBus.layerOf(yield* topics)));
        expect(found).toMatchObject({ status: "running", data: { seat: "12A", price: 90 } });
        return [...database.outboxPending.committed.values()].map(({ message }) => message.type);
      }),
    );
    expect(sent).toEqual(["trip.started.v1", "trip.hold-seat.v1"]);
  });
});
