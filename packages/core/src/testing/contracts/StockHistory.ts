/**
 * Linearizability, against the model: clients ask an engine at once, and what they are answered has to be what the pure
 * ledger answers to the same commands in some order, one after the other, that
 *
 * 1. keeps each client's own order,
 * 2. has no command before one that was answered before it was sent,
 * 3. leaves the books that the engine has at the end.
 *
 * Time is not guessed: what is reserved says until when, and so at what time it was decided. Nothing expires meanwhile
 * (`StockContention` is about that).
 */
import { Effect, Equal, Random, Result } from "effect";
import { CustomerId } from "../../domain/order/OrderId.ts";
import type { Sku } from "../../domain/stock/Sku.ts";
import type { StockBalance, StockCommand } from "../../domain/stock/StockCommand.ts";
import * as StockLedger from "../../domain/stock/StockLedger.ts";
import { Warehouse } from "../../domain/stock/Warehouse.ts";
import type { StockReservation } from "../../ports/StockReservation.ts";
import type { StoreError } from "../../ports/StoreError.ts";
import * as Contract from "../Contract.ts";
import { at, line, shopsOf, type Shop, TTL_MS } from "./StockShop.ts";

/** Each with a shop of its own: short histories are explained fast, and many of them meet more. */
const ROUNDS = 6;
const CLIENTS = 4;
const CALLS = 5;
const ORDERS = 6;
const UNITS = 6;

export const history = Effect.fnUntraced(function* (
  engines: ReadonlyArray<StockReservation["Service"]>,
): Effect.fn.Return<void, StoreError | Contract.Violation> {
  for (let round = 0; round < ROUNDS; round++) {
    const shops = yield* shopsOf(engines);
    const skus = [yield* shops[0].sku(UNITS), yield* shops[0].sku(UNITS)];
    const clock = { ticks: 0 };
    const clients = yield* Effect.forEach(
      Array.from({ length: CLIENTS }, (_, client) => client),
      (client) => Effect.map(Effect.replicateEffect(call(at(shops, client), skus, clock), CALLS), (calls) => calls.flat()),
      { concurrency: "unbounded" },
    );
    const books = yield* shops[0].balances(skus);
    const seeds = skus.map((sku, index): StockCommand => ({ _tag: "Adjust", id: `seed${index}`, sku, delta: UNITS }));
    const start = StockLedger.patch(StockLedger.empty, StockLedger.decideBatch(StockLedger.empty, seeds, 0).writes);
    yield* Contract.isTrue(isExplained(clients, start, books), "answers that the ledger gives in some order");
  }
});

/** A command, its answer, and when it was sent and answered. */
interface Asked {
  readonly command: StockCommand;
  readonly answer: StockLedger.Answer;
  readonly sent: number;
  readonly answered: number;
}

const call = Effect.fnUntraced(function* (
  shop: Shop,
  skus: ReadonlyArray<Sku>,
  clock: { ticks: number },
): Effect.fn.Return<ReadonlyArray<Asked>, StoreError> {
  const commands = yield* Effect.replicateEffect(randomCommand(shop, skus), yield* Random.nextIntBetween(1, 3));
  const sent = (clock.ticks += 1);
  const answers = yield* shop.askAll(commands);
  const answered = (clock.ticks += 1);
  return commands.flatMap((command, index) => {
    const answer = answers[index];
    return answer === undefined ? [] : [{ command, answer, sent, answered }];
  });
});

const KINDS = ["Reserve", "Reserve", "Reserve", "Commit", "Release", "Ship", "Renew", "Expire", "Adjust", "Adjust"] as const;
const EAST = Warehouse.make("east");

const randomCommand = Effect.fnUntraced(function* (shop: Shop, skus: ReadonlyArray<Sku>): Effect.fn.Return<StockCommand> {
  const index = yield* Random.nextIntBetween(0, ORDERS - 1);
  const orderId = shop.order(`o${index}`);
  const sku = skus[yield* Random.nextIntBetween(0, skus.length - 1)];
  const kind = KINDS[yield* Random.nextIntBetween(0, KINDS.length - 1)];
  if (sku === undefined || kind === undefined) return yield* Effect.die(new Error("an index out of its array"));
  switch (kind) {
    case "Reserve": {
      // The order's number says what it wishes, so that it is often repeated; now and then it wants more than before.
      const more = (yield* Random.nextIntBetween(0, 5)) === 0 ? 1 : 0;
      const lines = skus.slice(index % 2).map((each) => line(each, 1 + (index % 3) + more));
      const limit = { buyer: CustomerId.make(`${shop.tag}-ann`), perSku: 4 };
      const wishes = [{}, { policy: "partial" }, { limit }, { split: "allowed" }, { warehouses: [EAST] }, {}] as const;
      return { _tag: kind, orderId, lines, ttlMillis: TTL_MS, ...wishes[index] };
    }
    case "Renew":
      return { _tag: kind, orderId, ttlMillis: TTL_MS };
    case "Adjust": {
      const delta = yield* Random.nextIntBetween(-4, 4);
      return { _tag: kind, id: `${shop.tag}-${sku}${delta}`, sku, delta, ...(delta % 2 === 0 ? {} : { warehouse: EAST }) };
    }
    case "Commit":
    case "Release":
    case "Ship":
    case "Expire":
      return { _tag: kind, orderId };
  }
});

/** Looks for the order, depth first. What was found wanting once, by how far each client is and what was left, is not tried again. */
const isExplained = (
  clients: ReadonlyArray<ReadonlyArray<Asked>>,
  start: StockLedger.StockView,
  books: ReadonlyMap<Sku, StockBalance>,
): boolean => {
  const failed = new Set<string>();
  const search = (done: ReadonlyArray<number>, state: StockLedger.StockView): boolean => {
    const next = clients.map((asked, client) => asked[done[client] ?? 0]);
    if (next.every((asked) => asked === undefined)) return isSame(state, books);
    const key = `${done.join()} ${JSON.stringify([...state.holds.values(), ...state.skus.values()])}`;
    if (failed.has(key)) return false;
    const firstAnswered = Math.min(...next.flatMap((asked) => (asked === undefined ? [] : [asked.answered])));
    const isFound = next.some((asked, client) => {
      if (asked === undefined || asked.sent > firstAnswered) return false;
      const { answers, writes } = StockLedger.decideBatch(state, [asked.command], decidedAt(asked));
      return (
        Equal.equals(answers[0], asked.answer) &&
        search(
          done.map((count, index) => (index === client ? count + 1 : count)),
          StockLedger.patch(state, writes),
        )
      );
    });
    if (!isFound) failed.add(key);
    return isFound;
  };
  return search(
    clients.map(() => 0),
    start,
  );
};

/** What is granted for a time says when; of anything else it does not matter. */
const decidedAt = ({ answer }: Asked): number =>
  Result.isSuccess(answer) && answer.success._tag === "Reserved" ? answer.success.until - TTL_MS : 0;

const isSame = (state: StockLedger.StockView, books: ReadonlyMap<Sku, StockBalance>): boolean =>
  [...books].every(([sku, balance]) => {
    const expected = state.skus.get(sku);
    return expected !== undefined && Equal.equals(StockLedger.balanceOf(expected), balance);
  });
