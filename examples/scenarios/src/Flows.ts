/**
 * Runs the flows against a shop over HTTP, all at once (who cancels in time comes last): places real orders, tells every status as it appears, and checks
 * the end: timeline, reason, money in the provider's ledger, and stock in the inventory's books.
 *
 * The stock is checked for all flows together, before against after, so nobody else may order meanwhile.
 */
import type { OrderId } from "@org/saga-core";
import { Clock, Duration, Effect, Option, Schema } from "effect";
import { FetchHttpClient, type HttpClient } from "effect/http";
import { type Flow, flows as all } from "./Flow.ts";
import * as Print from "./Print.ts";
import type { FlowResult, Report } from "./Report.ts";
import * as ShopClient from "./ShopClient.ts";

/** Rest between two looks at an order, in milliseconds: short beside the shortest status. */
const POLL_MS = 50;

/** Milliseconds within which everything must have ended; the longest flow waits for a payment that never answers. */
export const DEADLINE_MS = 60_000;

/** Milliseconds that ledger and stock may need to settle after an order has ended. */
export const SETTLE_MS = 10_000;

/** Milliseconds within which the inventory must show its books. */
const BOOKS_MS = 10_000;

export interface Options {
  /** Hears each line of output; nothing is printed without it. */
  readonly print?: ((line: string) => void) | undefined;
  readonly color?: boolean | undefined;
  /** The payment provider, for its ledger. */
  readonly providerUrl?: string | undefined;
  /** The inventory, for its books. */
  readonly inventoryUrl?: string | undefined;
  readonly flows?: ReadonlyArray<Flow> | undefined;
  readonly deadlineMillis?: number | undefined;
  /** How long ledger and stock may take after the orders have ended; `SETTLE_MS`. */
  readonly settleMillis?: number | undefined;
  /** Begins the idempotency keys; another one for every run. By default made of the clock. */
  readonly run?: string | undefined;
}

/** As a plain promise. */
export const runFlows = (baseUrl: string, options: Options = {}): Promise<Report> =>
  Effect.runPromise(run(baseUrl, options).pipe(Effect.provide(FetchHttpClient.layer)));

export const run = Effect.fn("Flows.run")(function* (
  baseUrl: string,
  options: Options = {},
): Effect.fn.Return<Report, never, HttpClient.HttpClient> {
  const { flows = all, print = () => undefined, color = false, deadlineMillis = DEADLINE_MS, settleMillis = SETTLE_MS } = options;
  const shop = yield* ShopClient.make(baseUrl);
  const started = yield* Clock.currentTimeMillis;
  const runId = options.run ?? `flows-${started.toString(36)}`;
  const style = Print.style(color);
  const told = (report: Report): Report => {
    for (const line of Print.summary(style, report)) print(line);
    return report;
  };
  const skus = [...new Set(flows.flatMap(({ lines }) => lines.map(({ sku }) => sku)))].toSorted();

  const ready = yield* shop.ready.pipe(Effect.timeoutOption(Duration.millis(deadlineMillis)));
  if (Option.isNone(ready)) return told(unreachable(flows, baseUrl, deadlineMillis));
  const before = yield* books(options.inventoryUrl, skus, Math.min(deadlineMillis, BOOKS_MS));
  const width = Math.max(...flows.map(({ name }) => name.length));
  const tell = (flow: Flow, millis: number, text: string): void => print(Print.moment(style, flow.name.padEnd(width), millis, text));
  const runAll = (some: ReadonlyArray<Flow>) =>
    Effect.forEach(
      some,
      (flow) =>
        runOne(shop, flow, {
          runId,
          deadlineMillis,
          style,
          tell: (millis, text) => tell(flow, millis, text),
          settleMillis,
          providerUrl: options.providerUrl,
        }),
      { concurrency: "unbounded" },
    );
  // Who cancels in time must be quicker than checkout: on a busy machine that needs the shop for oneself.
  const isHurried = ({ act }: Flow): boolean => act === "cancelAtOnce";
  const ran = [...(yield* runAll(flows.filter((flow) => !isHurried(flow)))), ...(yield* runAll(flows.filter(isHurried)))];
  const results = flows.flatMap(({ name }) => ran.filter((result) => result.name === name));
  const stock = yield* checkStock(options.inventoryUrl, before, flows, settleMillis);
  const failed = results.filter(({ problems }) => problems.length > 0).length;
  return told({ passed: results.length - failed, failed: failed + (stock.length > 0 ? 1 : 0), results, stock });
});

const unreachable = (flows: ReadonlyArray<Flow>, baseUrl: string, millis: number): Report => {
  const problem = `not begun: nobody at ${baseUrl} was ready within ${millis} ms`;
  return { passed: 0, failed: flows.length, results: flows.map((flow) => resultOf(flow, null, millis, [problem])), stock: [] };
};

interface Course {
  readonly runId: string;
  readonly deadlineMillis: number;
  readonly settleMillis: number;
  readonly style: Print.Style;
  readonly tell: (millis: number, text: string) => void;
  readonly providerUrl: string | undefined;
}

class Unexpected extends Schema.TaggedError<Unexpected>()("Unexpected", { message: Schema.String }) {}

const runOne = Effect.fnUntraced(function* (shop: ShopClient.ShopClient, flow: Flow, course: Course) {
  const started = yield* Clock.currentTimeMillis;
  const customerId = `${course.runId}-${flow.name}`;
  let last: ShopClient.Order | null = null;
  let told = 0;
  const see = (order: ShopClient.Order): void => {
    last = order;
    for (const { status, at, reason } of order.timeline.slice(told)) {
      course.tell(Date.parse(at) - Date.parse(order.createdAt), Print.status(course.style, status, reason));
    }
    told = order.timeline.length;
  };
  const until = (id: OrderId, done: (order: ShopClient.Order) => boolean) =>
    Effect.gen(function* () {
      for (;;) {
        const order = yield* shop.get(customerId, id);
        see(order);
        if (done(order)) return order;
        yield* Effect.sleep(Duration.millis(POLL_MS));
      }
    });

  const story = Effect.gen(function* () {
    const { lines, paymentMethod } = flow;
    const order = yield* shop.place({ customerId, lines, paymentMethod, idempotencyKey: customerId });
    see(order);
    yield* act(
      shop,
      flow,
      customerId,
      order.id,
      course,
      until(order.id, ({ status }) => status !== "created"),
    );
    return yield* until(order.id, ShopClient.isOver);
  });

  const problems = yield* story.pipe(
    Effect.timeoutOrElse({
      duration: Duration.millis(course.deadlineMillis),
      orElse: () => Effect.fail(new Unexpected({ message: `not over within ${course.deadlineMillis} ms` })),
    }),
    Effect.flatMap((order) => Effect.map(checkMoney(course, flow, order), (money) => [...compare(flow, order), ...money])),
    Effect.catch((error) => Effect.succeed([error.message])),
  );
  const ended = yield* Clock.currentTimeMillis;
  return resultOf(flow, last, ended - started, problems);
});

const resultOf = (flow: Flow, order: ShopClient.Order | null, millis: number, problems: ReadonlyArray<string>): FlowResult => ({
  name: flow.name,
  title: flow.title,
  orderId: order?.id ?? null,
  timeline: order?.timeline.map(({ status }) => status) ?? [],
  reason: order?.reason ?? null,
  millis,
  problems,
});

const act = Effect.fnUntraced(function* <E>(
  shop: ShopClient.ShopClient,
  flow: Flow,
  customerId: string,
  id: OrderId,
  course: Course,
  pickedUp: Effect.Effect<unknown, E>,
) {
  if (flow.act === "none") return;
  if (flow.act === "cancelTooLate") yield* pickedUp;
  const answer = yield* shop.cancel(customerId, id);
  const isRefused = "code" in answer;
  if (isRefused) course.tell(-1, `cancel refused: ${answer.detail ?? answer.title}`);
  if (isRefused !== (flow.act === "cancelTooLate")) {
    return yield* new Unexpected({ message: isRefused ? "the cancel was refused" : "the cancel was not refused" });
  }
});

const compare = ({ expected }: Flow, order: ShopClient.Order): ReadonlyArray<string> => {
  const timeline = order.timeline.map(({ status }) => status).join(" → ");
  const wanted = expected.timeline.join(" → ");
  return [
    ...(timeline === wanted ? [] : [`timeline is ${timeline} instead of ${wanted}`]),
    ...(order.reason === expected.reason ? [] : [`reason is ${order.reason ?? "none"} instead of ${expected.reason ?? "none"}`]),
    ...(order.isCanceled === (order.status === "canceled") ? [] : ["isCanceled does not agree with the status"]),
  ];
};

/** Repeats a check that finds problems until it finds none, for so long; then what it found. */
const settled = <E, R>(check: Effect.Effect<ReadonlyArray<string>, E, R>, millis: number): Effect.Effect<ReadonlyArray<string>, E, R> =>
  Effect.gen(function* () {
    const started = yield* Clock.currentTimeMillis;
    for (;;) {
      const problems = yield* check;
      const now = yield* Clock.currentTimeMillis;
      if (problems.length === 0 || now - started > millis) return problems;
      yield* Effect.sleep(Duration.millis(POLL_MS));
    }
  });

const checkMoney = ({ providerUrl, settleMillis }: Course, { expected }: Flow, order: ShopClient.Order) => {
  if (providerUrl === undefined) return Effect.succeed([]);
  const captured = expected.money === "none" ? 0 : order.total.amount;
  const refunded = expected.money === "returned" ? order.total.amount : 0;
  return settled(
    Effect.map(ShopClient.ledger(providerUrl, order.id), (entry) =>
      entry.captured === captured && entry.refunded === refunded
        ? []
        : [`captured ${entry.captured} and refunded ${entry.refunded} instead of ${captured} and ${refunded}`],
    ),
    settleMillis,
  );
};

type Books = ReadonlyMap<string, ShopClient.Balance>;
const nothing: Books = new Map();

/** The books of all SKUs; none if they cannot be had in time. */
const books = (
  inventoryUrl: string | undefined,
  skus: ReadonlyArray<string>,
  millis: number,
): Effect.Effect<Books, never, HttpClient.HttpClient> =>
  inventoryUrl === undefined
    ? Effect.succeed(nothing)
    : Effect.forEach(skus, (sku) => Effect.map(ShopClient.balance(inventoryUrl, sku), (found) => [sku, found] as const), {
        concurrency: "unbounded",
      }).pipe(
        Effect.map((entries): Books => new Map(entries)),
        Effect.catch(() => Effect.succeed(nothing)),
        Effect.timeoutOrElse({ duration: Duration.millis(millis), orElse: () => Effect.succeed(nothing) }),
      );

/** Delivered goods have left, everything else is back. */
const checkStock = Effect.fnUntraced(function* (
  inventoryUrl: string | undefined,
  before: Books,
  flows: ReadonlyArray<Flow>,
  settleMillis: number,
) {
  if (inventoryUrl === undefined) return [];
  if (before.size === 0) return ["the inventory could not be asked"];
  const sold = new Map<string, number>();
  for (const { lines, expected } of flows) {
    if (expected.money !== "captured") continue;
    for (const { sku, quantity } of lines) sold.set(sku, (sold.get(sku) ?? 0) + quantity);
  }
  const check = Effect.map(books(inventoryUrl, [...before.keys()], BOOKS_MS), (after) =>
    [...before].flatMap(([sku, { onHand, held, committed }]) => {
      const now = after.get(sku);
      const wanted = onHand - (sold.get(sku) ?? 0);
      return now?.onHand === wanted && now.held === held && now.committed === committed
        ? []
        : [
            `${sku}: ${now?.onHand ?? "?"} on hand, ${now?.held ?? "?"} held, ${now?.committed ?? "?"} committed instead of ${wanted}, ${held}, ${committed}`,
          ];
    }),
  );
  return yield* settled(check, settleMillis);
});
