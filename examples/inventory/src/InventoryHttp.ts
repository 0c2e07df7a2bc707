/**
 * The inventory API. A change is answered once what is told of it is committed. By then the change itself is as durable as its
 * engine is: with `postgres` it is in PostgreSQL; so it is with `hybrid`, but a reservation is in Redis, and in PostgreSQL some
 * milliseconds later, unless the engine is `durable`; with `redis` it is in Redis, and lasts as long as that server keeps it.
 */
import { Effect, Layer, Result } from "effect";
import type { HttpRouter } from "effect/http";
import { HttpApiBuilder } from "effect/http-api";
import {
  DEFAULT_WAREHOUSE,
  Limits,
  type Sku,
  type StockAccepted,
  StockLedger,
  type StockRejection,
  StockReservation,
} from "@org/saga-core";
import { HttpService, InventoryApi, Outage, Problem, TraceContext } from "@example/contracts";
import { Inventory } from "./InventoryService.ts";

const handlers = HttpApiBuilder.group(
  InventoryApi.InventoryApi,
  "inventory",
  Effect.fnUntraced(function* (group) {
    const inventory = yield* Inventory;
    const stock = yield* StockReservation;

    return group.handleAll({
      reserve: Effect.fnUntraced(function* ({ payload: { orderId, ttlMillis = Limits.HOLD_TTL_MS, ...wishes }, request }) {
        const trace = TraceContext.traceparentOf(request);
        const wish = { ...wishes, _tag: "Reserve", ttlMillis } as const;
        const asked = orderId === undefined ? inventory.reserveFirst(wish, trace) : inventory.ask({ ...wish, orderId }, trace);
        const said = yield* Outage.told(asked);
        return Result.isSuccess(said) ? yield* reservation(said.success) : yield* reserveRefused(said.failure);
      }),
      release: Effect.fnUntraced(function* ({ payload: { orderId }, request }) {
        const said = yield* Outage.told(inventory.ask({ _tag: "Release", orderId }, TraceContext.traceparentOf(request)));
        if (Result.isSuccess(said)) {
          if (said.success._tag !== "Released") return yield* unexpected(said.success);
          const { lines, reason } = said.success;
          return { orderId, lines, reason };
        }
        return said.failure._tag === "AlreadyShipped" ? yield* new Problem.AlreadyShipped({}) : yield* unexpected(said.failure);
      }),
      adjust: Effect.fnUntraced(function* ({ payload, request }) {
        if (!StockLedger.isAdjustmentId(payload.id)) return yield* new Problem.AdjustmentIdInvalid(BAD_ID);
        const said = yield* Outage.told(inventory.ask({ _tag: "Adjust", ...payload }, TraceContext.traceparentOf(request)));
        if (Result.isFailure(said)) return yield* adjustRefused(said.failure);
        if (said.success._tag !== "Adjusted") return yield* unexpected(said.success);
        const { sku, warehouse = DEFAULT_WAREHOUSE, onHand, shortage, revoked = [] } = said.success;
        return { sku, warehouse, onHand, shortage, revoked };
      }),
      get: Effect.fnUntraced(function* ({ params: { sku } }) {
        const [balance] = yield* balancesOf(stock, [sku]);
        return balance ?? (yield* new Problem.ProductNotFound({}));
      }),
      list: ({ query: { sku } }) => balancesOf(stock, sku),
    });
  }),
);

type Requirements = HttpRouter.HttpRouter | Inventory | StockReservation | HttpService.Requirements;

/** All routes of the inventory service. */
export const routes: Layer.Layer<never, never, Requirements> = HttpService.routes(InventoryApi.InventoryApi).pipe(Layer.provide(handlers));

/** Without description and page, for a server that has another API's. */
export const endpoints: Layer.Layer<never, never, Requirements> = HttpService.endpoints(InventoryApi.InventoryApi).pipe(
  Layer.provide(handlers),
);

const balancesOf = (stock: StockReservation["Service"], skus: ReadonlyArray<Sku>) =>
  Outage.told(stock.balances(skus)).pipe(
    Effect.map((balances) =>
      [...new Set(skus)].flatMap((sku) => {
        const balance = balances.get(sku);
        return balance === undefined ? [] : [balance];
      }),
    ),
  );

const reservation = (accepted: StockAccepted) => {
  if (accepted._tag !== "Reserved") return unexpected(accepted);
  const { orderId, lines, until, missing = [] } = accepted;
  return Effect.succeed({ orderId, lines, until: new Date(until).toISOString(), missing });
};

const reserveRefused = (rejection: StockRejection) => {
  switch (rejection._tag) {
    case "OutOfStock":
      return Effect.fail(new Problem.OutOfStock({ detail: `not enough of ${named(rejection.skus)}` }));
    case "LimitExceeded":
      return Effect.fail(new Problem.LimitExceeded({ detail: `too many of ${named(rejection.skus)}` }));
    case "UnknownSku":
      return Effect.fail(new Problem.ProductNotFound({ detail: rejection.sku }));
    case "InvalidQuantity":
      return Effect.fail(new Problem.InvalidQuantity({ detail: rejection.detail }));
    case "ReservationMismatch":
      return Effect.fail(new Problem.ReservationMismatch({ detail: "its reservation has other lines or wishes: take another orderId" }));
    case "AlreadyReleased":
      return Effect.fail(new Problem.AlreadyReleased({ detail: "what was given back is not reserved again: take another orderId" }));
    case "HoldExpired":
      return Effect.fail(new Problem.HoldExpired({ detail: "to reserve anew, take another orderId" }));
    case "AdjustmentMismatch":
    case "HoldAlive":
    case "HoldNotFound":
    case "AlreadyShipped":
    case "NotCommitted":
      return unexpected(rejection);
  }
};

const adjustRefused = (rejection: StockRejection) => {
  switch (rejection._tag) {
    case "UnknownSku":
      return Effect.fail(new Problem.ProductNotFound({ detail: rejection.sku }));
    case "InvalidQuantity":
      return Effect.fail(new Problem.InvalidQuantity({ detail: rejection.detail }));
    case "AdjustmentMismatch":
      return Effect.fail(new Problem.AdjustmentMismatch({ detail: "the id was used for another adjustment: take another id" }));
    case "OutOfStock":
    case "LimitExceeded":
    case "ReservationMismatch":
    case "AlreadyReleased":
    case "HoldExpired":
    case "HoldAlive":
    case "HoldNotFound":
    case "AlreadyShipped":
    case "NotCommitted":
      return unexpected(rejection);
  }
};

const ID_IS = `an adjustment's id has 1 to ${Limits.IDENTIFIER_MAX} printable characters`;
const BAD_ID = { detail: ID_IS, errors: [{ in: "body", pointer: "/id", detail: ID_IS }] } as const;

/** SKUs named in a text for people, at most. */
const NAMED_MAX = 5;

const named = (skus: ReadonlyArray<Sku>): string => `${skus.slice(0, NAMED_MAX).join(", ")}${skus.length > NAMED_MAX ? ", …" : ""}`;

/** The ledger never answers the command like that. */
const unexpected = ({ _tag }: { readonly _tag: string }): Effect.Effect<never> => Effect.die(new Error(`the ledger answered ${_tag}`));
