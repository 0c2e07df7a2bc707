/** `GET /api/v1/inventory/{sku}`: the books of a SKU, as the engine has them. */
import { Effect, Layer, Option, Schema } from "effect";
import { HttpRouter, HttpServerResponse } from "effect/http";
import { Sku, StockReservation } from "@org/saga-core";
import { Problem, ProblemMiddleware } from "@example/contracts";

const PATH = "/api/v1/inventory/:sku";

const decodeSku = Schema.decodeUnknownOption(Sku);

export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | StockReservation> = Layer.merge(
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const stock = yield* StockReservation;
      yield* router.add(
        "GET",
        PATH,
        Effect.gen(function* () {
          const sku = decodeSku((yield* HttpRouter.params)["sku"]);
          if (Option.isNone(sku)) return Problem.response("product_not_found");
          const balance = (yield* stock.balances([sku.value])).get(sku.value);
          return balance === undefined ? Problem.response("product_not_found") : HttpServerResponse.jsonUnsafe(balance);
        }).pipe(Effect.catchTag("StoreError", () => Effect.succeed(Problem.response("unavailable")))),
      );
    }),
  ),
  ProblemMiddleware.methodNotAllowed([{ method: "GET", path: PATH }]),
);
