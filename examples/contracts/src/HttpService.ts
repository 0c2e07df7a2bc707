/**
 * A service of the shop over HTTP: its API, its OpenAPI 3.1 description (`/openapi.json`) and page (`/docs`), the
 * operators' paths, and problems for everything that is not a success.
 */
import { createServer, type Server } from "node:http";
import { NodeHttpServer } from "@effect/platform-node";
import { Duration, Effect, type FileSystem, Layer, type Path } from "effect";
import { type Etag, type HttpPlatform, HttpRouter, HttpServer, type HttpServerError } from "effect/http";
import { type HttpApi, HttpApiBuilder, type HttpApiGroup, HttpApiScalar } from "effect/http-api";
import * as Operations from "./Operations.ts";
import * as ProblemMiddleware from "./ProblemMiddleware.ts";

/** Milliseconds that requests in flight have to finish when the process stops; orchestrators kill after 30 s. */
export const DRAIN_MS = 10_000;

export interface Listen {
  readonly host: string;
  readonly port: number;
  /** Other than `DRAIN_MS`. */
  readonly drainMillis?: number;
}

/** What the handlers of an API need from the platform. */
export type Platform = Etag.Generator | FileSystem.FileSystem | HttpPlatform.HttpPlatform | Path.Path;

/** What `serve` provides to routes. */
export type Requirements = Platform | ProblemMiddleware.RequestProblems;

/** The routes of an API; its handlers are to be provided. */
export const endpoints = <Id extends string, Groups extends HttpApiGroup.Constraint>(
  api: HttpApi.HttpApi<Id, Groups>,
): Layer.Layer<never, never, HttpRouter.HttpRouter | HttpApiGroup.ToService<Id, Groups> | Platform> =>
  Layer.merge(HttpApiBuilder.layer(api), ProblemMiddleware.methodNotAllowed(ProblemMiddleware.routesOf(api)));

/** The same with its description and page. One API of a server has them. */
export const routes = <Id extends string, Groups extends HttpApiGroup.Constraint>(
  api: HttpApi.HttpApi<Id, Groups>,
): Layer.Layer<never, never, HttpRouter.HttpRouter | HttpApiGroup.ToService<Id, Groups> | Platform> =>
  Layer.mergeAll(
    HttpApiBuilder.layer(api, { openapiPath: "/openapi.json" }),
    HttpApiScalar.layer(api, { path: "/docs" }),
    ProblemMiddleware.methodNotAllowed([
      ...ProblemMiddleware.routesOf(api),
      { method: "GET", path: "/openapi.json" },
      { method: "GET", path: "/docs" },
    ]),
  );

/** Everything that a service answers: what `app` adds (see `routes`), operators' paths, and problems. */
export const application = <E, R>(
  app: Layer.Layer<never, E, R>,
  checks: ReadonlyArray<Operations.Check>,
): Layer.Layer<never, E, Exclude<R, ProblemMiddleware.RequestProblems> | HttpRouter.HttpRouter> =>
  Layer.merge(app, Operations.layer(checks)).pipe(Layer.provide(ProblemMiddleware.layer));

/** Serves on `listen`; port 0 takes a free one (see `HttpServer.HttpServer`, which stays available). */
export const serve = <E, R>(app: Layer.Layer<never, E, R>, listen: Listen, checks: ReadonlyArray<Operations.Check> = []) =>
  HttpRouter.serve(application(app, checks), { disableLogger: true, disableListenLog: true }).pipe(Layer.provideMerge(server(listen)));

/** Where the server of this environment listens, for clients on this machine. */
export const url: Effect.Effect<string, never, HttpServer.HttpServer> = Effect.map(HttpServer.HttpServer, ({ address }) =>
  address._tag === "UnixPathAddress" ? address.path : `http://127.0.0.1:${address.port}`,
);

const server = ({
  host,
  port,
  drainMillis = DRAIN_MS,
}: Listen): Layer.Layer<HttpServer.HttpServer | Platform, HttpServerError.ServeError> =>
  NodeHttpServer.layer(drainingServer, { host, port, gracefulShutdownTimeout: Duration.millis(drainMillis) });

/**
 * A server that is closing ends each connection with its next answer: clients that keep theirs open and busy would else
 * hold up the end of the process for all of the drain.
 */
const drainingServer = (): Server => {
  const server = createServer();
  server.on("request", (_request, response) => {
    if (server.listening) response.once("finish", () => server.listening || setImmediate(() => server.closeIdleConnections()));
    else response.setHeader("connection", "close");
  });
  return server;
};
