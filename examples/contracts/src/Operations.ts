/**
 * What operators ask of every service: `/livez` (the process answers; nothing else is checked), `/readyz` (its servers
 * answer; the status code is the contract, `?verbose` is for people), `/health` (alias of `/readyz`), `/metrics`
 * (Prometheus text).
 */
import { Duration, Effect, Layer } from "effect";
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http";
import { PrometheusMetrics } from "effect/observability";
import * as Problem from "./Problem.ts";
import { type KnownRoute, methodNotAllowed } from "./ProblemMiddleware.ts";

/** Milliseconds that one check may take: below the time-outs of the usual probes (1 s is Kubernetes' default). */
export const CHECK_TIMEOUT_MS = 900;

/** One thing that must work before traffic makes sense. Succeeds or fails; what it fails with is not shown. */
export interface Check {
  /** e.g. `postgres`. */
  readonly name: string;
  readonly run: Effect.Effect<unknown, unknown>;
}

const paths = ["/livez", "/readyz", "/health", "/metrics"] as const;
const routes: ReadonlyArray<KnownRoute> = paths.map((path) => ({ method: "GET", path }));

export const layer = (checks: ReadonlyArray<Check>): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  Layer.mergeAll(
    HttpRouter.add("GET", "/livez", HttpServerResponse.text("ok")),
    HttpRouter.add("GET", "/readyz", readiness(checks)),
    HttpRouter.add("GET", "/health", readiness(checks)),
    PrometheusMetrics.layerHttp({ path: "/metrics" }),
    methodNotAllowed(routes),
  );

/** The names of the checks that fail. */
export const failing = Effect.fn("Operations.failing")(function* (checks: ReadonlyArray<Check>) {
  const results = yield* Effect.forEach(checks, passes, { concurrency: "unbounded" });
  return checks.flatMap(({ name }, index) => (results[index] === true ? [] : [name]));
});

const passes = ({ run }: Check): Effect.Effect<boolean> =>
  run.pipe(
    Effect.timeout(Duration.millis(CHECK_TIMEOUT_MS)),
    Effect.as(true),
    Effect.catchCause(() => Effect.succeed(false)),
  );

const readiness = (checks: ReadonlyArray<Check>) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest;
    const missing = yield* failing(checks);
    if (missing.length > 0) return Problem.response("unavailable", { detail: `not ready: ${missing.join(", ")}` });
    const verbose = new URL(request.url, "http://localhost").searchParams.has("verbose");
    return HttpServerResponse.text(verbose ? [...checks.map(({ name }) => `${name} ok`), "ready", ""].join("\n") : "ok");
  });
