/** Whether the peer is one: random commands to it and to the ledger, answer by answer. */
import { OrderId, Quantity, Sku, StockLedger } from "@org/saga-core";
import { Result } from "effect";
import * as LuaStock from "./LuaStock.ts";

/** Few orders and SKUs, so that the commands meet. */
const COMMANDS = 4_000;
const ORDERS = 60;
const SKUS = 3;
const UNITS = 12;

/** Holds of this time, in milliseconds, are over at the next command, before which it is waited for longer. */
const SHORT_MS = 1;
const WAIT_MS = 4;

/** How many answers differ. */
export const differences = async (url: string): Promise<number> => {
  const lua = await LuaStock.open(url, "check");
  let ledger = StockLedger.initial;
  let different = 0;
  for (const command of [...goods, ...Array.from({ length: COMMANDS }, randomCommand)]) {
    const said = await lua.ask(command);
    const { answers, writes } = StockLedger.decideBatch(ledger, [command], Date.now());
    ledger = StockLedger.patch(ledger, writes);
    const [answer] = answers;
    if (answer === undefined || !agree(said, answer)) different++;
    if (command._tag === "Reserve" && command.ttlMillis === SHORT_MS) await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
  const books = await lua.books();
  const units = books.map(({ onHand, free, committed }) => [onHand, free, committed].join(" ")).toSorted();
  const expected = [...ledger.skus.values()]
    .map((each) => [each.onHand, StockLedger.availableOf(each), each.committed].join(" "))
    .toSorted();
  if (units.join() !== expected.join()) different++;
  lua.close();
  return different;
};

/** Times are of two clocks, and are not compared. */
const agree = (said: string, answer: StockLedger.Answer): boolean => {
  const [word, ...rest] = said.split(" ");
  const text = rest.join(" ");
  if (Result.isFailure(answer)) {
    const { failure } = answer;
    if (word !== failure._tag) return false;
    if (failure._tag === "OutOfStock") return text === failure.skus.join(" ");
    return failure._tag !== "UnknownSku" || text === failure.sku;
  }
  const { success } = answer;
  if (word !== success._tag) return false;
  switch (success._tag) {
    case "Reserved":
      return Number(text) > 0;
    case "Committed":
      return text === textOf(success.lines);
    case "Released":
      return text === `${success.reason} ${textOf(success.lines)}`;
    case "Adjusted":
      return Number(text) === success.onHand;
    case "Shipped":
      return false;
  }
};

const textOf = (lines: ReadonlyArray<{ readonly sku: Sku; readonly quantity: number }>): string =>
  lines.map(({ sku, quantity }) => `${sku} ${quantity}`).join(" ");

const sku = (index: number): Sku => Sku.make(`sku-${index}`);
const goods = Array.from({ length: SKUS }, (_, index): LuaStock.Asked => adjust(`seed-${index}`, index));

function adjust(id: string, index: number): LuaStock.Asked {
  return { _tag: "Adjust", id, sku: sku(index), delta: UNITS };
}

const upTo = (end: number): number => Math.floor(Math.random() * end);

const randomCommand = (_: unknown, index: number): LuaStock.Asked => {
  // The orders drift, so that there are always new ones.
  const orderId = OrderId.make(`order-${Math.floor(index / 40) + upTo(ORDERS)}`);
  const dice = upTo(100);
  if (dice < 50) {
    // One SKU of them is unknown, and the same one may come twice.
    const lines = Array.from({ length: 1 + upTo(3) }, () => ({
      sku: sku(upTo(100) === 0 ? SKUS : upTo(SKUS)),
      quantity: Quantity.make(1 + upTo(2)),
    }));
    return { _tag: "Reserve", orderId, lines, ttlMillis: upTo(4) === 0 ? SHORT_MS : 600_000 };
  }
  if (dice < 65) return { _tag: "Commit", orderId };
  if (dice < 85) return { _tag: "Release", orderId };
  if (dice < 98) return { _tag: "Expire", orderId };
  return adjust(`delivery-${upTo(50)}`, 0);
};
