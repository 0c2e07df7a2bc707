/**
 * What is on record after orders went through a stack: orders and their histories, the stock, the provider's ledger, the
 * outboxes, what customers were told; and which guarantees it violates.
 */
import { Product } from "@example/catalog";
import { ProviderApi } from "@example/contracts";
import { Notice } from "@example/notification";
import type { Report } from "@example/scenarios";
import { Order, OrderId, OrderStore, type StockBalance, StockReservation } from "@org/saga-core";
import { Invariants } from "@org/saga-core/testing";
import { PgClient, PgOrderStore } from "@org/saga-postgres";
import { RedisClient, RedisConfig, RedisStock } from "@org/saga-redis";
import { Effect, Layer, ManagedRuntime, Schema } from "effect";
import { setTimeout as sleep } from "node:timers/promises";
import * as Provision from "../src/Provision.ts";
import type { RealStack } from "../src/RealStack.ts";

/** Everything comes to rest within this, also on a busy machine after crashes; in milliseconds. */
const REST_WITHIN_MS = 120_000;
const POLL_MS = 250;
const SHORT_POLL_MS = 10;

export interface Record {
  readonly orders: ReadonlyArray<Order.Order>;
  readonly balances: ReadonlyArray<StockBalance>;
  readonly ledger: ReadonlyMap<string, Invariants.MoneyRecord>;
  readonly notices: ReadonlyMap<string, Notice.Notices>;
  /** Work that is still to be done, in words. */
  readonly open: ReadonlyArray<string>;
  /** What was put aside and would need a person, in words. */
  readonly aside: ReadonlyArray<string>;
}

export class Books {
  readonly #stack: RealStack;
  readonly #runtime: ManagedRuntime.ManagedRuntime<PgClient.PgClient | OrderStore | StockReservation, unknown>;

  constructor(stack: RealStack) {
    const { servers, redisPrefix } = stack.options;
    this.#stack = stack;
    this.#runtime = ManagedRuntime.make(
      Layer.mergeAll(
        PgOrderStore.layer.pipe(Layer.provideMerge(PgClient.layer({ url: stack.postgresUrl, schema: "order", poolSize: 2 }))),
        RedisStock.layer.pipe(
          Layer.provide(RedisClient.layer),
          Layer.provide(RedisConfig.layer({ url: servers.redisUrl, prefix: `${redisPrefix}saga` })),
        ),
      ),
    );
  }

  async read(): Promise<Record> {
    const { orders, balances, notices, open, aside } = await this.#runtime.runPromise(onRecord);
    return { orders, balances, notices, open, aside, ledger: await this.#ledger(orders) };
  }

  /** Waits until everything is at rest, and returns what is on record then; fails with what is still open or violated. */
  async atRest(): Promise<Record> {
    const deadline = Date.now() + REST_WITHIN_MS;
    for (;;) {
      const record = await this.read();
      const always = alwaysViolated(record);
      if (always.length > 0) throw new Error(always.join("\n"));
      const yet = [...record.open, ...violatedAtRest(record)];
      if (yet.length === 0) return record;
      if (Date.now() > deadline) throw new Error(`not at rest:\n${yet.slice(0, LINES_MAX).join("\n")}`);
      await sleep(POLL_MS);
    }
  }

  /** Waits until at least so many checkouts are under way, or `load` is over. */
  async untilUnderWay(checkouts: number, load: Promise<unknown>): Promise<void> {
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    // How it ends is its owner's to hear.
    load.then(over, over);
    while (!isOver && (await this.#runtime.runPromise(underWay)) < checkouts) await sleep(SHORT_POLL_MS);
  }

  close(): Promise<void> {
    return this.#runtime.dispose();
  }

  async #ledger(orders: ReadonlyArray<Order.Order>): Promise<ReadonlyMap<string, Invariants.MoneyRecord>> {
    const ledger = new Map<string, Invariants.MoneyRecord>();
    for (let from = 0; from < orders.length; from += ProviderApi.LEDGER_ORDERS_MAX) {
      const query = new URLSearchParams(
        orders.slice(from, from + ProviderApi.LEDGER_ORDERS_MAX).map(({ id }) => ["orderId", id] satisfies [string, string]),
      );
      const response = await fetch(`${this.#stack.urls["payment-provider"]}/v1/ledger?${query.toString()}`);
      if (!response.ok) throw new Error(`the provider's ledger answers ${response.status}`);
      for (const entry of decodeLedger(await response.json())) ledger.set(entry.orderId, entry);
    }
    return ledger;
  }
}

/** What no moment may show. */
export const alwaysViolated = ({ orders, balances, aside }: Record): Invariants.Violations => [
  ...Invariants.stockBalances(balances),
  ...Invariants.histories(orders),
  ...aside,
];

/** What must hold when nothing moves any more. */
export const violatedAtRest = ({ orders, balances, ledger, notices }: Record): Invariants.Violations => [
  ...Invariants.atRest(orders),
  ...Invariants.stockAtRest(balances, received, orders),
  ...Invariants.moneyAtRest(orders, ledger),
  ...untold(orders, notices),
];

/** How many orders ended how. */
export const endings = (orders: ReadonlyArray<Order.Order>): Readonly<{ [ending: string]: number }> => {
  const counts: { [ending: string]: number } = {};
  for (const { status, reason } of orders) {
    const ending = reason === null ? status : `${status}: ${reason}`;
    counts[ending] = (counts[ending] ?? 0) + 1;
  }
  return counts;
};

/** What went otherwise than it should have, in words. */
export const problemsOf = ({ results, stock }: Report): ReadonlyArray<string> => [
  ...results.flatMap(({ name, orderId, problems }) => problems.map((problem) => `${name} (${orderId ?? "no order"}): ${problem}`)),
  ...stock,
];

/** Lines of a failure's text. */
const LINES_MAX = 20;

const received: ReadonlyMap<string, number> = new Map(Product.products.map(({ sku, initialStock }) => [sku, initialStock]));

const decodeLedger = Schema.decodeUnknownSync(Schema.Array(ProviderApi.LedgerEntry));
const decodeNotices = Schema.decodeUnknownSync(Schema.toCodecJson(Notice.Notices));

/** G6: each status that an order entered was told once, and nothing else. */
const untold = (orders: ReadonlyArray<Order.Order>, notices: ReadonlyMap<string, Notice.Notices>): Invariants.Violations => [
  ...orders.flatMap((order) => {
    const told = (notices.get(order.id) ?? []).map(({ status }) => status).toSorted();
    const entered = order.history.map(({ status }) => status).toSorted();
    return told.join() === entered.join() ? [] : [`G6: of ${order.id} was told ${told.join() || "nothing"}, it was ${entered.join()}`];
  }),
  ...(notices.size > orders.length ? [`G4: ${notices.size} orders were told of, there are ${orders.length}`] : []),
];

interface Count {
  readonly what: string;
  readonly count: number;
}

/** In one statement, so that it is of one moment. */
const counts = (parts: ReadonlyArray<readonly [what: string, from: string]>): string =>
  `select * from (${parts.map(([what, from]) => `select '${what}' as what, count(*)::int as count from ${from}`).join(" union all ")}) as c where count > 0`;

const OPEN = counts([
  ...Provision.SCHEMAS.map((schema) => [`${schema}: outbox rows unsent`, `"${schema}".outbox where sent_at is null`] as const),
  ...Provision.SCHEMAS.map(
    (schema) => [`${schema}: checkouts under way`, `"${schema}".sagas where status in ('running', 'compensating')`] as const,
  ),
  ["provider: settlements and webhooks under way", "provider.timers"],
]);

const ASIDE = counts([
  ...Provision.SCHEMAS.map((schema) => [`${schema}: dead letters`, `"${schema}".dead_letters`] as const),
  ...Provision.SCHEMAS.map((schema) => [`${schema}: outbox rows parked`, `"${schema}".outbox where parked_at is not null`] as const),
  ...Provision.SCHEMAS.map(
    (schema) => [`${schema}: compensations failed`, `"${schema}".sagas where status = 'compensationFailed'`] as const,
  ),
]);

const underWay = Effect.gen(function* () {
  const client = yield* PgClient.PgClient;
  const found = yield* client.query<{ readonly count: number }>(
    "Books",
    `select count(*)::int as count from "order".sagas where status in ('running', 'compensating')`,
  );
  return found.rows[0]?.count ?? 0;
});

const onRecord = Effect.gen(function* () {
  const client = yield* PgClient.PgClient;
  const store = yield* OrderStore;
  const stock = yield* StockReservation;
  const told = yield* client.query<{ readonly id: string; readonly state: unknown }>(
    "Books",
    "select id, state from notification.documents where kind = 'notification'",
  );
  const words = ({ what, count }: Count): string => `${what}: ${count}`;
  const open = (yield* client.query<Count>("Books", OPEN)).rows.map(words);
  const aside = (yield* client.query<Count>("Books", ASIDE)).rows.map(words);
  const ids = yield* client.query<{ readonly id: string }>("Books", `select id from "order".orders`);
  const orders = yield* store.find(ids.rows.map(({ id }) => OrderId.make(id)));
  return {
    orders: [...orders.values()],
    balances: yield* stock.allBalances,
    notices: new Map(told.rows.map(({ id, state }) => [id, decodeNotices(state)])),
    open,
    aside,
  };
});
