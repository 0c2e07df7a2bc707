/** `npm run bench -- NAME [--quick] [--json]`: measures, and prints a JSON object on the last line. */
import { parseArgs } from "node:util";
import * as Check from "./check/check.ts";
import * as Core from "./core/core.ts";
import * as Orders from "./orders/orders.ts";
import * as Outbox from "./outbox/outbox.ts";
import * as Backlog from "./outbox-order/backlog.ts";
import * as Inversions from "./outbox-order/inversions.ts";
import * as Saga from "./saga/saga.ts";
import * as Stock from "./stock/stock.ts";

const benches = {
  backlog: Backlog.run,
  check: Check.run,
  core: Core.run,
  inversions: Inversions.run,
  orders: Orders.run,
  outbox: Outbox.run,
  saga: Saga.run,
  stock: Stock.run,
};

const names = Object.keys(benches).join(", ");
const USAGE = `Usage: npm run bench -- NAME [--quick] [--json]

  NAME     one of: ${names}
  --quick  a minute, "stock" three, with wider spread
  --json   only the JSON object, without a line a round
`;

const WRONG_USAGE = 2;

const isBench = (name: string | undefined): name is keyof typeof benches => name !== undefined && name in benches;

const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: "boolean" }, json: { type: "boolean" }, help: { type: "boolean", short: "h" } },
  });
  const [name] = positionals;
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (!isBench(name) || positionals.length > 1) {
    process.stderr.write(USAGE);
    return WRONG_USAGE;
  }
  const say = values.json === true ? () => undefined : (line: string) => void process.stdout.write(`${line}\n`);
  const report = await benches[name]({ quick: values.quick ?? false, say });
  process.stdout.write(`${JSON.stringify(report)}\n`);
  return report.violations === 0 ? 0 : 1;
};

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  return WRONG_USAGE;
});
