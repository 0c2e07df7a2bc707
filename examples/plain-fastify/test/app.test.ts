import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { build, type Review } from "../src/app.ts";
import type { Order } from "../src/Order.ts";

const WAIT = { timeout: 20_000, interval: 20 };

/** PGlite takes seconds to make a new database, on a busy machine more. */
const START_MS = 60_000;

const closed: Array<string> = [];
const reviews: Array<Review> = [];
/** What the world was asked for, by item. */
const calls: Array<string> = [];

const did = async (what: string, { item }: Order, key: string) => void calls.push(`${item} ${what} ${key.split(":")[1] ?? ""}`);

const world = {
  reserve: async (order: Order, key: string) => {
    await did("reserve", order, key);
    return order.item !== "rare";
  },
  release: (order: Order, key: string) => did("release", order, key),
  charge: async (order: Order, key: string) => {
    await did("charge", order, key);
    return order.item !== "dear";
  },
  ship: (order: Order, key: string) => did("ship", order, key),
};

let app: FastifyInstance;

beforeAll(async () => {
  app = await build({
    world,
    onClosed: async ({ id, status }) => void closed.push(`${id} ${status}`),
    onReview: async (review) => void reviews.push(review),
  });
}, START_MS);

afterAll(() => app.close());

const id = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;

const place = (key: string, payload: object) =>
  app.inject({ method: "POST", url: "/orders", headers: { "idempotency-key": key }, payload });

const get = (url: string) => app.inject({ method: "GET", url });

/** Polled: the saga runs behind the answer. */
const closedAs = (key: string, status: string) => vi.waitFor(() => expect(closed).toContain(`${key} ${status}`), WAIT);

describe("POST /orders", () => {
  it("accepts an order, fulfils it, and tells the world when it is closed", async () => {
    const placed = await place(id(1), { item: "tea", quantity: 2 });
    expect(placed.statusCode).toBe(201);
    expect(placed.json()).toEqual({ id: id(1), item: "tea", quantity: 2, status: "placed" });
    await closedAs(id(1), "confirmed");
    expect((await get(`/orders/${id(1)}`)).json()).toMatchObject({ status: "confirmed" });
    await vi.waitFor(async () => expect((await get(`/orders/${id(1)}/steps`)).json()).toMatchObject({ status: "completed" }), WAIT);
    expect(calls.filter((call) => call.startsWith("tea"))).toEqual(["tea reserve reserve", "tea charge charge", "tea ship ship"]);
  });

  it("answers the same under the same key, and places nothing twice", async () => {
    const first = await place(id(2), { item: "cup", quantity: 1 });
    await closedAs(id(2), "confirmed");
    const again = await place(id(2), { item: "cup", quantity: 1 });
    expect([again.statusCode, again.json()]).toEqual([201, first.json()]);
    expect((await place(id(2), { item: "cup", quantity: 5 })).statusCode).toBe(422);
    expect(calls.filter((call) => call.startsWith("cup charge"))).toHaveLength(1);
  });

  it.each([
    ["a quantity of 0", id(3), { item: "tea", quantity: 0 }],
    ["a quantity that is text", id(3), { item: "tea", quantity: "2" }],
    ["no item", id(3), { quantity: 2 }],
    ["what nobody asked for", id(3), { item: "tea", quantity: 2, price: 0 }],
    ["a key that is no UUID", "mine", { item: "tea", quantity: 2 }],
  ])("refuses %s", async (_, key, payload) => {
    const answer = await place(key, payload);
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ code: "invalid" });
    expect((await get(`/orders/${id(3)}`)).statusCode).toBe(404);
  });

  it.each([
    ["is sold out", 4, "rare", { step: "reserve", reason: "soldOut" }, ["rare reserve reserve"]],
    [
      "cannot be paid for",
      5,
      "dear",
      { step: "charge", reason: "declined" },
      ["dear reserve reserve", "dear charge charge", "dear release reserve"],
    ],
  ])("undoes an order that %s, and says why", async (_, n, item, failure, asked) => {
    expect((await place(id(n), { item, quantity: 1 })).statusCode).toBe(201);
    await closedAs(id(n), "refused");
    await vi.waitFor(
      async () => expect((await get(`/orders/${id(n)}/steps`)).json()).toMatchObject({ status: "compensated", failure }),
      WAIT,
    );
    expect(calls.filter((call) => call.startsWith(item))).toEqual(asked);
  });
});

describe("POST /orders/:id/reviews", () => {
  const review = (order: string, stars: number) => app.inject({ method: "POST", url: `/orders/${order}/reviews`, payload: { stars } });

  it("writes the row and its message in one transaction, once", async () => {
    expect((await review("a", 4)).statusCode).toBe(204);
    expect((await review("a", 1)).statusCode).toBe(409);
    expect((await review("b", 5)).statusCode).toBe(204);
    await vi.waitFor(() => expect(reviews).toContainEqual({ orderId: "b", stars: 5 }), WAIT);
    expect(reviews.filter(({ orderId }) => orderId === "a")).toEqual([{ orderId: "a", stars: 4 }]);
  });

  it("refuses six stars", async () => {
    expect((await review("c", 6)).statusCode).toBe(400);
  });
});
