import { HttpService } from "@example/contracts";
import { assert, describe, it } from "@effect/vitest";
import { Effect } from "effect";
import { FetchHttpClient } from "effect/http";
import { Flows, flows, Print, runFlows, runSale, Sale } from "../src/index.ts";
import { FakeShop } from "./FakeShop.ts";

const against = <A>(shop: FakeShop, body: (url: string) => Effect.Effect<A>) =>
  HttpService.url.pipe(Effect.flatMap(body), Effect.provide(shop.layer));

const runIn = (shop: FakeShop, options: Flows.Options = {}) =>
  against(shop, (url) =>
    Flows.run(url, { providerUrl: url, inventoryUrl: url, deadlineMillis: 2_000, settleMillis: 100, ...options }).pipe(
      Effect.provide(FetchHttpClient.layer),
    ),
  );

const problemsOf = (report: { readonly results: ReadonlyArray<{ readonly name: string; readonly problems: ReadonlyArray<string> }> }) =>
  Object.fromEntries(report.results.filter(({ problems }) => problems.length > 0).map(({ name, problems }) => [name, problems.join("; ")]));

describe("Flows", () => {
  it("are the seven of the shop", () => {
    assert.deepStrictEqual(
      flows.map(({ name, expected }) => `${name} ${expected.timeline.at(-1)} ${expected.reason}`),
      [
        "happy finished null",
        "canceled canceled canceledByUser",
        "too-late finished null",
        "out-of-stock canceled outOfStock",
        "declined failed paymentDeclined",
        "payment-timeout canceled paymentTimeout",
        "refunded refunded fulfillmentFailed",
      ],
    );
  });

  it.live("pass against a shop that does right, and tell every status as it appears", () =>
    Effect.gen(function* () {
      const lines: Array<string> = [];
      const report = yield* runIn(new FakeShop(), { print: (line) => lines.push(line) });
      assert.deepStrictEqual(problemsOf(report), {});
      assert.deepInclude(report, { passed: 7, failed: 0, stock: [] });
      const happy = lines.filter((line) => line.includes(" happy "));
      assert.deepStrictEqual(
        happy.map((line) => line.trim().split(/\s+/).at(-1)),
        ["created", "pendingPayment", "awaitingPayment", "awaitingFulfillment", "finished"],
      );
      assert.isTrue(lines.some((line) => line.includes("too-late") && line.includes("operator")));
      assert.isTrue(lines.some((line) => line.includes("7 of 7 flows ended as they should")));
      assert.isFalse(lines.some((line) => line.includes("\u001B")));
    }),
  );

  it.live("places each order once, however often it has to ask", () =>
    Effect.gen(function* () {
      const shop = new FakeShop();
      shop.unavailable = 5;
      const report = yield* runIn(shop);
      assert.strictEqual(report.failed, 0);
      assert.strictEqual(shop.orders.size, 7);
    }),
  );

  it.live(
    "fail with what is wrong: status, money, stock, a cancel, a deadline, a refused order",
    () =>
      Effect.gen(function* () {
        const wrong = (mode: FakeShop["wrong"], options: Flows.Options = {}) => {
          const shop = new FakeShop();
          shop.wrong = mode;
          return runIn(shop, { deadlineMillis: 1_500, ...options });
        };
        const oversold = yield* wrong("sells what it does not have");
        assert.deepStrictEqual(Object.keys(problemsOf(oversold)), ["out-of-stock"]);
        assert.include(problemsOf(oversold)["out-of-stock"], "instead of created → pendingPayment → canceled");

        const greedy = yield* wrong("keeps the money");
        assert.deepStrictEqual(problemsOf(greedy), { refunded: "captured 100 and refunded 0 instead of 100 and 100" });

        const sloppy = yield* wrong("forgets stock");
        assert.deepInclude(sloppy, { passed: 7, failed: 1 });
        assert.isTrue(sloppy.stock.some((problem) => problem.startsWith("tshirt: 1000 on hand")));

        const lenient = yield* wrong("allows a late cancel");
        assert.include(problemsOf(lenient)["too-late"], "the cancel was not refused");

        const stuck = yield* wrong("gets stuck", { flows: flows.slice(0, 1) });
        assert.deepStrictEqual(problemsOf(stuck), { happy: "not over within 1500 ms" });

        const [happy] = flows;
        const unknown = happy === undefined ? [] : [{ ...happy, lines: [{ sku: "unknown", quantity: 1 }] }];
        const refused = yield* runIn(new FakeShop(), { flows: unknown });
        assert.include(problemsOf(refused)["happy"], "SKU");
      }),
    20_000,
  );

  it.live("begin none when the shop cannot be reached, and say so", () =>
    Effect.gen(function* () {
      const nobody = "http://127.0.0.1:9";
      const lines: Array<string> = [];
      const print = (line: string) => void lines.push(line);
      const report = yield* Effect.promise(() => runFlows(nobody, { inventoryUrl: nobody, deadlineMillis: 200, settleMillis: 10, print }));
      assert.deepInclude(report, { passed: 0, failed: 7, stock: [] });
      assert.isTrue(report.results.every(({ orderId }) => orderId === null));
      assert.isTrue(lines.some((line) => line.includes("nobody at http://127.0.0.1:9 was ready within 200 ms")));
    }),
  );

  it.live("say so when the inventory cannot be asked", () =>
    Effect.gen(function* () {
      const report = yield* runIn(new FakeShop(), { inventoryUrl: "http://127.0.0.1:9", flows: flows.slice(0, 1), deadlineMillis: 1_000 });
      assert.deepInclude(report, { passed: 1, failed: 1, stock: ["the inventory could not be asked"] });
    }),
  );

  it.live("cancel in time when the others are done, so that nothing slows the buyer down", () =>
    Effect.gen(function* () {
      const lines: Array<string> = [];
      yield* runIn(new FakeShop(), { print: (line) => lines.push(line) });
      const moments = lines.filter((line) => / (canceled|refunded) /.test(line) && !line.includes("✓"));
      assert.include(moments.at(-1), "canceledByUser");
    }),
  );
});

describe("Sale", () => {
  it.live("counts who got one and who did not", () =>
    against(new FakeShop(), (baseUrl) =>
      Effect.gen(function* () {
        const result = yield* Effect.promise(() => runSale({ baseUrl, sku: "limited", orders: 10 }));
        assert.strictEqual(result.placed, 10);
        assert.strictEqual(result.finished.length, 2);
        assert.strictEqual(result.canceled.length, 8);
        assert.deepStrictEqual(result.reasons, { finished: 2, outOfStock: 8 });
        assert.strictEqual(result.open.length + result.others.length + result.refused, 0);
      }),
    ),
  );

  it.live("says which orders are still open at the deadline, and how many were refused", () => {
    const shop = new FakeShop();
    shop.wrong = "gets stuck";
    return against(shop, (baseUrl) =>
      Effect.gen(function* () {
        const stuck = yield* Sale.run({ baseUrl, sku: "mug", orders: 2, deadlineMillis: 300, run: "a" });
        assert.strictEqual(stuck.open.length, 2);
        const refused = yield* Sale.run({ baseUrl, sku: "unknown", orders: 3, deadlineMillis: 300, run: "b" });
        assert.strictEqual(refused.refused, 3);
      }).pipe(Effect.provide(FetchHttpClient.layer)),
    );
  });
});

describe("Print", () => {
  it("colors a terminal only, and not if its owner asked for none", () => {
    assert.isTrue(Print.wantsColor({ isTTY: true }, {}));
    assert.isFalse(Print.wantsColor({ isTTY: false }, {}));
    assert.isFalse(Print.wantsColor({}, {}));
    assert.isFalse(Print.wantsColor({ isTTY: true }, { NO_COLOR: "1" }));
    assert.isTrue(Print.wantsColor({ isTTY: true }, { NO_COLOR: "" }));
    assert.isFalse(Print.wantsColor({ isTTY: true }, { TERM: "dumb" }));
  });

  it("paints the ends", () => {
    const style = Print.style(true);
    assert.strictEqual(Print.status(style, "finished", null), "\u001B[32mfinished\u001B[0m");
    assert.include(Print.status(style, "failed", "paymentDeclined"), "31m");
    assert.include(Print.status(style, "refunded", null), "33m");
    assert.strictEqual(Print.status(style, "created", null), "created");
  });
});
