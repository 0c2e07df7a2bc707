/**
 * The shop on real PostgreSQL, Redis and Kafka, every service a process of its own. One stack for all tests of this file:
 * each leaves it running and at rest, and the books are checked over everything that has happened since its start.
 */
import type { ServiceConfig } from "@example/contracts";
import { type Flow, flows, runFlows, runSale } from "@example/scenarios";
import { Invariants } from "@org/saga-core/testing";
import { describe, expect, it } from "vitest";
import { endings, problemsOf } from "./Books.ts";
import * as Publications from "./Publications.ts";
import * as Shop from "./Shop.ts";
import * as TestStack from "./TestStack.ts";

const SALE_SKU = "limited-100";
const BUYERS = 500;
const UNITS = 100;

/** Copies of the flows under way while a process is killed. */
const COPIES = 5;
/** Checkouts under way that count as "in the middle". */
const UNDER_WAY = 10;
/** Every process. */
const VICTIMS: ReadonlyArray<ServiceConfig.ServiceName> = [
  "order",
  "checkout",
  "inventory",
  "fulfillment",
  "notification",
  "payment-provider",
  "catalog",
];

/** Flows whose end does not depend on when the customer acts, or how long a process is away. */
const steady: ReadonlyArray<Flow> = flows.filter(({ act, paymentMethod }) => act === "none" && paymentMethod !== "pm_timeout");

/** A process that is killed is away for longer than a demonstration waits; its group hears of it as soon as brokers allow. */
const PATIENT = { PAYMENT_DEADLINE_MS: "30000", SAGA_KAFKA_SESSION_MS: "6000" };

const servers = TestStack.addresses();

describe.runIf(servers !== null)("the shop on real servers", () => {
  const shop = Shop.suite(servers, PATIENT);
  let run = 0;

  /** Many flows at once; their problems, in words. */
  const load = async (copies: number): Promise<ReadonlyArray<string>> => {
    const { urls } = shop().stack;
    const reports = await Promise.all(
      Array.from({ length: copies }, () =>
        runFlows(urls.order, {
          flows: steady,
          run: `load-${++run}`,
          providerUrl: urls["payment-provider"],
          deadlineMillis: Shop.DEADLINE_MS,
        }),
      ),
    );
    return reports.flatMap(problemsOf);
  };

  it("ends the seven flows as expected: timeline, reason, money and stock", async () => {
    const { urls } = shop().stack;
    const report = await runFlows(urls.order, { providerUrl: urls["payment-provider"], inventoryUrl: urls.inventory });
    expect(problemsOf(report)).toEqual([]);
    expect(report.passed).toBe(flows.length);
    await shop().books.atRest();
  });

  it(`sells ${UNITS} units to exactly ${UNITS} of ${BUYERS} buyers at once`, { timeout: Shop.DEADLINE_MS }, async () => {
    const sale = await runSale({ baseUrl: shop().stack.urls.order, sku: SALE_SKU, orders: BUYERS, deadlineMillis: Shop.DEADLINE_MS });
    expect({ ...sale, finished: sale.finished.length, canceled: sale.canceled.length, millis: 0 }).toEqual({
      placed: BUYERS,
      refused: 0,
      finished: UNITS,
      canceled: BUYERS - UNITS,
      others: [],
      open: [],
      reasons: { finished: UNITS, outOfStock: BUYERS - UNITS },
      millis: 0,
    });
    const { balances } = await shop().books.atRest();
    expect(balances.find(({ sku }) => sku === SALE_SKU)).toMatchObject({ onHand: 0, held: 0, committed: 0, available: 0, shortage: 0 });
  });

  it.each(VICTIMS)("brings every order to its right end when %s is killed in the middle", { timeout: Shop.DEADLINE_MS }, async (name) => {
    const victim = shop().stack.processes[name];
    const loaded = load(COPIES);
    await shop().books.untilUnderWay(UNDER_WAY, loaded);
    await victim.kill();
    victim.start();
    expect(await loaded).toEqual([]);
    await victim.ready();
    await shop().books.atRest();
  });

  it("loses nothing when every process is replaced in turn under load", { timeout: Shop.DEADLINE_MS }, async () => {
    let isRolling = true;
    const rolling = (async () => {
      const problems: Array<string> = [];
      while (isRolling) problems.push(...(await load(COPIES / 2)));
      return problems;
    })();
    const codes = new Map<string, number | null>();
    try {
      for (const name of VICTIMS) {
        const service = shop().stack.processes[name];
        await shop().books.untilUnderWay(1, rolling);
        codes.set(name, await service.stop());
        service.start();
        await service.ready();
      }
    } finally {
      isRolling = false;
    }
    expect(codes).toEqual(new Map(VICTIMS.map((name) => [name, 0])));
    expect(await rolling).toEqual([]);
    await shop().books.atRest();
  });

  it("has published what was committed, nothing else, and in order", async () => {
    const committed = await Publications.committed(shop().stack);
    expect(committed.length).toBeGreaterThan(0);
    expect(Invariants.publications(committed, await Publications.published(shop().stack, committed))).toEqual([]);
  });

  it("has books that agree with each other in the end", async () => {
    const { orders, balances } = await shop().books.atRest();
    expect(Invariants.stockBalances(balances)).toEqual([]);
    const ends = endings(orders);
    expect(ends["canceled: outOfStock"]).toBeGreaterThanOrEqual(BUYERS - UNITS);
    expect(ends["refunded: fulfillmentFailed"]).toBeGreaterThan(0);
  });
});
