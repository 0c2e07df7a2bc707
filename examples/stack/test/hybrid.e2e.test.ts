/** The shop on real servers with the hybrid stock engine: the flows and a sale end as with the others. */
import { flows, runFlows, runSale } from "@example/scenarios";
import { describe, expect, it } from "vitest";
import { problemsOf } from "./Books.ts";
import * as Shop from "./Shop.ts";
import * as TestStack from "./TestStack.ts";

const BUYERS = 250;
const UNITS = 100;

const servers = TestStack.addresses();

describe.runIf(servers !== null)("the shop on the hybrid stock engine", () => {
  const shop = Shop.suite(servers, { STOCK_ENGINE: "hybrid" });

  it(
    `ends the seven flows as expected, and sells ${UNITS} units to exactly ${UNITS} of ${BUYERS} buyers`,
    { timeout: Shop.DEADLINE_MS },
    async () => {
      const { urls } = shop().stack;
      const report = await runFlows(urls.order, { providerUrl: urls["payment-provider"], inventoryUrl: urls.inventory });
      expect(problemsOf(report)).toEqual([]);
      expect(report.passed).toBe(flows.length);
      const sale = await runSale({ baseUrl: urls.order, sku: "limited-100", orders: BUYERS, deadlineMillis: Shop.DEADLINE_MS });
      expect({ ...sale, finished: sale.finished.length, canceled: sale.canceled.length }).toMatchObject({
        finished: UNITS,
        canceled: BUYERS - UNITS,
        others: [],
        open: [],
      });
      await shop().books.atRest();
    },
  );
});
