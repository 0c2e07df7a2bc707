/**
 * The shop on real PostgreSQL, Redis and Kafka where nobody coordinates: the same flows, and every service keeps a row an order.
 * Each test leaves the stack running and at rest.
 */
import { flows, runFlows } from "@example/scenarios";
import { Invariants } from "@org/saga-core/testing";
import { PgClient } from "@org/saga-postgres";
import { Effect } from "effect";
import { describe, expect, it } from "vitest";
import { problemsOf } from "./Books.ts";
import * as Publications from "./Publications.ts";
import * as Shop from "./Shop.ts";
import * as TestStack from "./TestStack.ts";

/** Flows that end with the goods on their way. */
const FINISHED = flows.filter(({ expected }) => expected.timeline.at(-1) === "finished").length;

/** Copies of the flows under way while a process is killed. */
const COPIES = 3;
/** Checkouts under way that count as "in the middle". */
const UNDER_WAY = 6;

/** Who takes part, by its schema. Checkout is the payment's, and with it the arbiter's. */
const SERVICES = ["order", "checkout", "inventory", "fulfillment"] as const;

/** A process that is killed is away for longer than a demonstration waits; its group hears of it as soon as brokers allow. */
const SETTINGS = { SAGA_TOPOLOGY: "choreographed", PAYMENT_DEADLINE_MS: "30000", SAGA_KAFKA_SESSION_MS: "6000" };

const servers = TestStack.addresses();

describe.runIf(servers !== null)("the shop on real servers, choreographed", () => {
  const shop = Shop.suite(servers, SETTINGS);

  /** How many rows of the saga each service has, and how they ended. */
  const rows = (): Promise<ReadonlyArray<{ readonly service: string; readonly status: string; readonly count: number }>> =>
    Effect.runPromise(
      Effect.gen(function* () {
        const client = yield* PgClient.PgClient;
        const parts = SERVICES.map((service) => `select '${service}' as service, status from "${service}".sagas`);
        const text = `select service, status, count(*)::int as count from (${parts.join(" union all ")}) as s group by 1, 2 order by 1, 2`;
        return (yield* client.query<{ service: string; status: string; count: number }>("Test.rows", text)).rows;
      }).pipe(Effect.provide(PgClient.layer({ url: shop().stack.postgresUrl, schema: "order", poolSize: 1 }))),
    );

  it("ends the seven flows as expected: timeline, reason, money and stock", { timeout: Shop.DEADLINE_MS }, async () => {
    const { urls } = shop().stack;
    const report = await runFlows(urls.order, { providerUrl: urls["payment-provider"], inventoryUrl: urls.inventory });
    expect(problemsOf(report)).toEqual([]);
    expect(report.passed).toBe(flows.length);
    await shop().books.atRest();
    // In every service: two orders are finished; two were canceled or short of goods, two not paid, one not shipped.
    expect(await rows()).toEqual(
      SERVICES.toSorted().flatMap((service) => [
        { service, status: "compensated", count: flows.length - FINISHED },
        { service, status: "completed", count: FINISHED },
      ]),
    );
  });

  it("brings every order to its right end when the arbiter is killed in the middle", { timeout: Shop.DEADLINE_MS }, async () => {
    const { urls, processes } = shop().stack;
    const steady = flows.filter(({ act, paymentMethod }) => act === "none" && paymentMethod !== "pm_timeout");
    const load = async (run: number) =>
      problemsOf(
        await runFlows(urls.order, {
          flows: steady,
          run: `load-${run}`,
          providerUrl: urls["payment-provider"],
          deadlineMillis: Shop.DEADLINE_MS,
        }),
      );
    const loaded = Promise.all(Array.from({ length: COPIES }, (_, run) => load(run)));
    await shop().books.untilUnderWay(UNDER_WAY, loaded);
    await processes.checkout.kill();
    processes.checkout.start();
    expect((await loaded).flat()).toEqual([]);
    await processes.checkout.ready();
    await shop().books.atRest();
  });

  it("has published what was committed, nothing else, and in order", async () => {
    const committed = await Publications.committed(shop().stack);
    expect(committed.length).toBeGreaterThan(0);
    expect(Invariants.publications(committed, await Publications.published(shop().stack, committed))).toEqual([]);
  });
});
