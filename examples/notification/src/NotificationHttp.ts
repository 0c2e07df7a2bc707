/** `GET /api/v1/notifications/{orderId}`: what the customer of an order was told. An order never heard of has been told nothing. */
import { Effect, Layer, Option, Schema } from "effect";
import { HttpRouter, HttpServerResponse } from "effect/http";
import { DocumentStore, OrderId } from "@org/saga-core";
import { Problem, ProblemMiddleware } from "@example/contracts";
import * as NotificationService from "./NotificationService.ts";

const PATH = "/api/v1/notifications/:orderId";

const decodeId = Schema.decodeUnknownOption(OrderId);

export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | DocumentStore> = Layer.merge(
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const store = yield* DocumentStore;
      yield* router.add(
        "GET",
        PATH,
        Effect.gen(function* () {
          const id = decodeId((yield* HttpRouter.params)["orderId"]);
          if (Option.isNone(id)) return Problem.response("order_not_found");
          const notifications = yield* Effect.provideService(NotificationService.find(id.value), DocumentStore, store);
          return HttpServerResponse.jsonUnsafe({ orderId: id.value, count: notifications.length, notifications });
        }).pipe(Effect.catchTag("StoreError", () => Effect.succeed(Problem.response("unavailable")))),
      );
    }),
  ),
  ProblemMiddleware.methodNotAllowed([{ method: "GET", path: PATH }]),
);
