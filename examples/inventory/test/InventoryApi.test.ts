import { Effect, Layer, Schema } from "effect";
import { describe, expect, it } from "vitest";
import { InventoryApi } from "@example/contracts";
import { MemoryStock, OrderId, StockReservation, StoreError } from "@org/saga-core";
import { get, post, withService } from "./InventoryWorld.ts";

const API = "/api/v1/inventory";
const line = (sku: string, quantity: number) => ({ sku, quantity });
const decodeReservation = Schema.decodeUnknownEffect(InventoryApi.Reservation);

describe("the inventory API", () => {
  it("reserves, says the same again, gives back, and then reserves no more for the order", () =>
    withService((url) =>
      Effect.gen(function* () {
        const request = { orderId: "order-1", lines: [line("mug", 2), line("tshirt", 1), line("mug", 1)] };
        const first = yield* post(`${url}${API}/reserve`, request);
        expect(first).toMatchObject({ status: 200, body: { orderId: "order-1", lines: [line("mug", 3), line("tshirt", 1)], missing: [] } });
        expect(yield* post(`${url}${API}/reserve`, request)).toEqual(first);
        expect((yield* get(`${url}${API}/mug`)).body).toMatchObject({ held: 3 });
        const released = yield* post(`${url}${API}/release`, { orderId: "order-1" });
        expect(released).toEqual({
          status: 200,
          body: { orderId: "order-1", lines: [line("mug", 3), line("tshirt", 1)], reason: "asked" },
        });
        expect(yield* post(`${url}${API}/release`, { orderId: "order-1" })).toEqual(released);
        expect(yield* post(`${url}${API}/reserve`, request)).toMatchObject({ status: 409, body: { code: "already_released" } });
        expect((yield* get(`${url}${API}/mug`)).body).toMatchObject({ held: 0 });
      }),
    ));

  it("gives an order an id that has none", () =>
    withService((url) =>
      Effect.gen(function* () {
        const { orderId } = yield* decodeReservation((yield* post(`${url}${API}/reserve`, { lines: [line("mug", 1)] })).body);
        const { orderId: other } = yield* decodeReservation((yield* post(`${url}${API}/reserve`, { lines: [line("mug", 1)] })).body);
        expect(orderId).not.toBe(other);
        expect((yield* post(`${url}${API}/release`, { orderId })).body).toMatchObject({ lines: [line("mug", 1)] });
      }),
    ));

  it("sells out, and refuses at once until there is more", () =>
    withService((url) =>
      Effect.gen(function* () {
        const buy = post(`${url}${API}/reserve`, { lines: [line("limited-100", 30)] });
        const codes = (yield* Effect.all([buy, buy, buy, buy, buy], { concurrency: "unbounded" })).map(({ status }) => status);
        expect(codes.toSorted((left, right) => left - right)).toEqual([200, 200, 200, 409, 409]);
        expect(yield* buy).toMatchObject({ status: 409, body: { code: "out_of_stock", detail: "not enough of limited-100" } });
        yield* post(`${url}${API}/adjust`, { id: "delivery", sku: "limited-100", delta: 20, kind: "receive" });
        expect((yield* buy).status).toBe(200);
      }),
    ));

  it("grants what there is, from where it is wished, and no more than a buyer may have", () =>
    withService((url) =>
      Effect.gen(function* () {
        const north = { id: "to-north", sku: "mug", delta: 5, warehouse: "north" };
        const adjusted = { status: 200, body: { sku: "mug", warehouse: "north", onHand: 5, shortage: 0, revoked: [] } };
        expect(yield* post(`${url}${API}/adjust`, north)).toEqual(adjusted);
        expect(yield* post(`${url}${API}/adjust`, north)).toEqual(adjusted);
        const partly = { orderId: "partly", lines: [line("mug", 7)], policy: "partial", warehouses: ["north"] };
        expect((yield* post(`${url}${API}/reserve`, partly)).body).toMatchObject({
          lines: [{ ...line("mug", 5), warehouse: "north" }],
          missing: [line("mug", 2)],
        });
        const limited = (orderId: string) => ({ orderId, lines: [line("mug", 2)], limit: { buyer: "alice", perSku: 3 } });
        expect((yield* post(`${url}${API}/reserve`, limited("one"))).status).toBe(200);
        expect(yield* post(`${url}${API}/reserve`, limited("two"))).toMatchObject({ status: 409, body: { code: "limit_exceeded" } });
      }),
    ));

  it("shows the books of several SKUs, and leaves out what is not known", () =>
    withService((url) =>
      Effect.gen(function* () {
        const { status, body } = yield* get(`${url}${API}?sku=mug&sku=unicorn&sku=limited-100&sku=mug`);
        expect([status, body]).toEqual([200, [expect.objectContaining({ sku: "mug" }), expect.objectContaining({ sku: "limited-100" })]]);
        expect((yield* get(`${url}${API}?sku=limited-100`)).body).toMatchObject([{ onHand: 100 }]);
        expect(yield* get(`${url}${API}`)).toMatchObject({ status: 400, body: { code: "invalid_request" } });
      }),
    ));

  const refusals: ReadonlyArray<readonly [name: string, path: string, body: unknown, status: number, code: string]> = [
    ["an unknown SKU", "reserve", { lines: [line("unicorn", 1)] }, 404, "product_not_found"],
    ["no units", "reserve", { lines: [line("mug", 0)] }, 400, "invalid_request"],
    ["half a unit", "reserve", { lines: [line("mug", 0.5)] }, 400, "invalid_request"],
    ["absurdly many units", "reserve", { lines: [line("mug", 1e9)] }, 400, "invalid_request"],
    ["too many units in the sum", "reserve", { lines: [line("mug", 1_000_000), line("mug", 1)] }, 422, "invalid_quantity"],
    ["no lines", "reserve", { lines: [] }, 400, "invalid_request"],
    ["no time", "reserve", { lines: [line("mug", 1)], ttlMillis: 0 }, 400, "invalid_request"],
    ["a warehouse twice", "reserve", { lines: [line("mug", 1)], warehouses: ["a", "a"] }, 400, "invalid_request"],
    ["an unknown field", "reserve", { lines: [line("mug", 1)], price: 1 }, 400, "unknown_field"],
    ["more than there is", "reserve", { lines: [line("limited-100", 101)] }, 409, "out_of_stock"],
    ["other lines for the order", "reserve", { orderId: "taken", lines: [line("mug", 2)] }, 422, "reservation_mismatch"],
    ["no order to release", "release", {}, 400, "invalid_request"],
    ["less than nothing on hand", "adjust", { id: "a", sku: "limited-100", delta: -101 }, 422, "invalid_quantity"],
    ["another adjustment under its id", "adjust", { id: "seed:mug", sku: "mug", delta: 1 }, 422, "adjustment_mismatch"],
    ["no id for it", "adjust", { id: "", sku: "mug", delta: 1 }, 422, "adjustment_id_invalid"],
    ["an id that nobody can read", "adjust", { id: "two\nlines", sku: "mug", delta: 1 }, 422, "adjustment_id_invalid"],
    ["an id that is too long", "adjust", { id: "x".repeat(129), sku: "mug", delta: 1 }, 422, "adjustment_id_invalid"],
    ["counting out an unknown SKU", "adjust", { id: "a", sku: "unicorn", delta: -1 }, 404, "product_not_found"],
  ];

  it("refuses with a code that says why", () =>
    withService((url) =>
      Effect.gen(function* () {
        yield* post(`${url}${API}/reserve`, { orderId: "taken", lines: [line("mug", 1)] });
        for (const [name, path, body, status, code] of refusals) {
          const refused = yield* post(`${url}${API}/${path}`, body);
          expect([name, refused]).toEqual([name, { status, body: expect.objectContaining({ code, instance: `${API}/${path}` }) }]);
        }
        expect(yield* get(`${url}${API}/reserve`)).toMatchObject({ status: 405, body: { code: "method_not_allowed" } });
      }),
    ));

  it("says that a hold has ended, and that goods have left the house", () => {
    let engine: StockReservation["Service"] | null = null;
    const stock = Layer.effect(
      StockReservation,
      Effect.map(StockReservation, (it) => (engine = it)),
    ).pipe(Layer.provide(MemoryStock.layer));
    return withService(
      (url) =>
        Effect.gen(function* () {
          const brief = { orderId: "ended", lines: [line("mug", 1)], ttlMillis: 1 };
          // Until the sweeper has been there.
          const again = Effect.delay(post(`${url}${API}/reserve`, brief), "20 millis");
          const ended = yield* Effect.repeat(again, { until: ({ status }) => status !== 200 });
          expect(ended).toMatchObject({ status: 409, body: { code: "hold_expired" } });
          yield* post(`${url}${API}/reserve`, { orderId: "gone", lines: [line("mug", 1)] });
          const orderId = OrderId.make("gone");
          yield* (
            engine?.execute([
              { _tag: "Commit", orderId },
              { _tag: "Ship", orderId },
            ]) ?? Effect.void
          );
          expect(yield* post(`${url}${API}/release`, { orderId })).toMatchObject({ status: 409, body: { code: "already_shipped" } });
        }),
      stock,
    );
  });

  it("answers 503 while the engine is away, and says when nobody knows what happened", () => {
    let reason: StoreError["reason"] = "Unavailable";
    const stock = Layer.effect(
      StockReservation,
      Effect.map(StockReservation, (engine) => ({
        ...engine,
        execute: (commands: Parameters<typeof engine.execute>[0]) =>
          commands[0]?._tag === "Adjust"
            ? engine.execute(commands)
            : Effect.suspend(() => Effect.fail(new StoreError({ reason, operation: "test", message: "away" }))),
      })),
    ).pipe(Layer.provide(MemoryStock.layer));
    return withService(
      (url) =>
        Effect.gen(function* () {
          const ask = post(`${url}${API}/reserve`, { lines: [line("mug", 1)] });
          expect(yield* ask).toMatchObject({ status: 503, body: { code: "unavailable" } });
          reason = "Unknown";
          expect(yield* ask).toMatchObject({ status: 503, body: { code: "outcome_unknown" } });
        }),
      stock,
    );
  });

  it("describes itself", () =>
    withService((url) =>
      Effect.gen(function* () {
        const { body } = yield* get(`${url}/openapi.json`);
        const paths = typeof body === "object" && body !== null && "paths" in body ? body["paths"] : {};
        expect(Object.keys(paths ?? {}).toSorted()).toEqual([API, `${API}/adjust`, `${API}/release`, `${API}/reserve`, `${API}/{sku}`]);
        expect(JSON.stringify(paths)).toContain("OutOfStock");
      }),
    ));
});
