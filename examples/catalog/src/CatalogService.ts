/** The catalogue as a service over HTTP. */
import { HttpService, Problem, type ServiceConfig } from "@example/contracts";
import { Effect, Layer } from "effect";
import type { HttpRouter, HttpServer, HttpServerError } from "effect/http";
import { HttpApiBuilder } from "effect/http-api";
import { CatalogApi } from "./CatalogApi.ts";
import { Catalogue } from "./Catalogue.ts";

const handlers = HttpApiBuilder.group(
  CatalogApi,
  "products",
  Effect.fnUntraced(function* (group) {
    const catalogue = yield* Catalogue;
    return group.handleAll({
      list: () => Effect.mapError(catalogue.list, () => new Problem.Unavailable({})),
      get: ({ params: { sku } }) =>
        catalogue.find([sku]).pipe(
          Effect.mapError(() => new Problem.Unavailable({})),
          Effect.flatMap((found) => Effect.fromNullishOr(found.get(sku)).pipe(Effect.mapError(() => new Problem.ProductNotFound({})))),
        ),
    });
  }),
);

export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | Catalogue | HttpService.Requirements> = HttpService.routes(
  CatalogApi,
).pipe(Layer.provide(handlers));

export const layer = (
  settings: Pick<ServiceConfig.ServiceConfig, "http">,
): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError, Catalogue> =>
  HttpService.serve(routes, { host: settings.http.host, port: settings.http.ports.catalog });
