/** The shop on real servers with the hybrid stock engine: the flows and a sale end as with the others. */
import { flows, runFlows, runSale } from "@example/scenarios";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Books } from "./Books.ts";
import * as TestStack from "./TestStack.ts";

/** Generous: nothing waits for it but a failure. */
const DEADLINE_MS = 120_000;

const BUYERS = 250;
const UNITS = 100;

const servers = TestStack.addresses();

describe.runIf(servers !== null)("the shop on the hybrid stock engine", () => {
  let own: TestStack.TestStack;
  let books: Books;
  let failed = true;

  beforeAll(async () => {
    if (servers === null) return;
    own = await TestStack.make(servers, { env: { STOCK_ENGINE: "hybrid" } });
    await own.stack.provision();
    own.stack.start();
    await own.stack.ready();
    books = new Books(own.stack);
  }, DEADLINE_MS);

  afterAll(async () => {
    await books?.close();
    await own?.remove(failed);
  }, DEADLINE_MS);

  it(
    `ends the seven flows as expected, and sells ${UNITS} units to exactly ${UNITS} of ${BUYERS} buyers`,
    { timeout: DEADLINE_MS },
    async () => {
      const { urls } = own.stack;
      const report = await runFlows(urls.order, { providerUrl: urls["payment-provider"], inventoryUrl: urls.inventory });
      expect(report.results.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`))).toEqual([]);
      expect(report).toMatchObject({ passed: flows.length, failed: 0, stock: [] });
      const sale = await runSale({ baseUrl: urls.order, sku: "limited-100", orders: BUYERS, deadlineMillis: DEADLINE_MS });
      expect({ ...sale, finished: sale.finished.length, canceled: sale.canceled.length }).toMatchObject({
        finished: UNITS,
        canceled: BUYERS - UNITS,
        others: [],
        open: [],
      });
      await books.atRest();
      failed = false;
    },
  );
});
