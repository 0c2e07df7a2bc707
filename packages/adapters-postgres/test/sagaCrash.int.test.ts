/**
 * A process that dies at each of its COMMITs in turn: once before it reaches the server, once when the server has carried it out
 * and nobody heard. The next process goes on with what is stored, whichever way the saga is run, and dies at the next one.
 */
import { OrderId } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Effect, Fiber, Layer } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgConfig from "../src/PgConfig.ts";
import * as PgStores from "../src/PgStores.ts";
import * as PoolDriver from "../src/PoolDriver.ts";
import * as CheckoutShop from "./CheckoutShop.ts";
import * as CommitProxy from "./CommitProxy.ts";
import * as Database from "./Database.ts";

const server = realServer("postgres");

const TIMEOUT_MS = 180_000;

/** Who commits. */
const PARTICIPANTS = ["payment", "inventory", "fulfillment"];
const WRITERS: Readonly<Record<CheckoutShop.Topology, ReadonlyArray<string>>> = {
  orchestrated: ["client", "coordinator", ...PARTICIPANTS, ...CheckoutShop.SERVICES.map((service) => `${service}'s relay`)],
  choreographed: [
    "client",
    "home",
    ...PARTICIPANTS,
    ...PARTICIPANTS.map((service) => `${service}'s reactions`),
    ...CheckoutShop.SERVICES.map((service) => `${service}'s relay`),
  ],
};

/** One end for both topologies. Every participant is asked for everything once, undos in reverse. */
const ENDS: Readonly<Record<CheckoutShop.Story, Omit<CheckoutShop.Record, "sagas"> & { readonly saga: string }>> = {
  finished: {
    order: "created → pendingPayment → awaitingPayment → awaitingFulfillment → finished",
    saga: "completed",
    asked: {
      payment: ["payment.check-balance.v1", "payment.authorize.v1", "payment.capture.v1"],
      inventory: ["inventory.reserve.v1", "inventory.commit.v1", "inventory.ship.v1"],
      fulfillment: ["fulfillment.fulfill.v1"],
    },
  },
  refunded: {
    order: "created → pendingPayment → awaitingPayment → awaitingFulfillment → failed → refunded: fulfillmentFailed",
    saga: "compensated",
    asked: {
      payment: ["payment.check-balance.v1", "payment.authorize.v1", "payment.capture.v1", "payment.refund.v1", "payment.void.v1"],
      inventory: ["inventory.reserve.v1", "inventory.commit.v1", "inventory.release.v1"],
      fulfillment: ["fulfillment.fulfill.v1"],
    },
  },
};

/** Which COMMITs a process died at. */
class Deaths {
  readonly #before = new Set<string>();
  readonly #after = new Set<string>();
  readonly writers = new Set<string>();

  /** How the process dies at this one; null: it died both ways already, and lives. */
  next({ by, messages }: CheckoutShop.Write): CommitProxy.Loss | null {
    // A relay that died before its COMMIT has published; a group may then read a message twice.
    const name = `${by} ${[...new Set(messages)].toSorted().join()}`;
    this.writers.add(by);
    for (const [died, loses] of [
      [this.#before, "request"],
      [this.#after, "answer"],
    ] as const) {
      if (died.has(name)) continue;
      died.add(name);
      return loses;
    }
    return null;
  }

  get count(): number {
    return this.#before.size + this.#after.size;
  }
}

describe.runIf(server !== null)("a process that dies at each of its COMMITs, before and after it", () => {
  let database: Database.Database;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    for (const topology of ["orchestrated", "choreographed"] as const) {
      for (const service of CheckoutShop.SERVICES) {
        const schema = CheckoutShop.schemaOf(topology, service);
        await Effect.runPromise(Effect.scoped(Layer.build(PgStores.layer({ url: database.url, schema }))));
      }
    }
  });
  afterAll(() => database.drop());

  /** A process, until it dies (null) or nothing is left to do. */
  const live = async (world: Omit<CheckoutShop.World, "onWrite">, id: OrderId, deaths: Deaths): Promise<CheckoutShop.Record | null> => {
    let write: CheckoutShop.Write = { by: "nobody", messages: [] };
    let die = (): void => undefined;
    const died = new Promise<null>((resolve) => {
      die = () => resolve(null);
    });
    const proxy = await CommitProxy.start(database.url, (chunk) => {
      const loses = chunk.includes(CommitProxy.COMMIT) ? deaths.next(write) : null;
      return loses === null ? null : { on: CommitProxy.COMMIT, loses, meanwhile: async () => die() };
    });
    // It does not get to ask how its COMMIT ended.
    const driver = PoolDriver.make(PgConfig.make({ url: proxy.url, poolSize: 2, settleTimeout: 1 }));
    const life = Effect.gen(function* () {
      const shop = yield* CheckoutShop.Shop.open({ ...world, onWrite: (next) => (write = next) }, driver);
      yield* Effect.exit(shop.place(id));
      yield* shop.settle();
      return yield* shop.record(id);
    });
    const fiber = Effect.runFork(Effect.scoped(life));
    const record = await Promise.race([died, Effect.runPromise(Fiber.join(fiber))]);
    await proxy.stop();
    await Effect.runPromise(Fiber.interrupt(fiber));
    await driver.close();
    return record;
  };

  for (const topology of ["orchestrated", "choreographed"] as const) {
    for (const story of ["finished", "refunded"] as const) {
      it(`${topology}: an order is ${story} all the same, nothing is asked for twice`, { timeout: TIMEOUT_MS }, async () => {
        const world = { topology, story, broker: new CheckoutShop.Broker() };
        const deaths = new Deaths();
        let lives = 1;
        let record = await live(world, OrderId.make(story), deaths);
        for (; record === null; lives++) record = await live(world, OrderId.make(story), deaths);
        const { saga, ...end } = ENDS[story];
        const services = topology === "orchestrated" ? ["order"] : CheckoutShop.SERVICES;
        expect(record).toEqual({ ...end, sagas: services.map((service) => `${service}: ${saga}`) });
        expect([...deaths.writers].toSorted()).toEqual(WRITERS[topology].toSorted());
        expect(lives).toBe(deaths.count + 1);
      });
    }
  }
});
