import { NodeHttpServer } from "@effect/platform-node";
import { assert, describe, it } from "@effect/vitest";
import { Effect, Layer, Metric, Schema } from "effect";
import { HttpClient, HttpRouter } from "effect/http";
import { HttpService, Operations, Problem, ProblemCode } from "../src/index.ts";

const serve = (checks: ReadonlyArray<Operations.Check>) =>
  HttpRouter.serve(HttpService.application(Layer.empty, checks), { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(NodeHttpServer.layerTest),
  );

const get = Effect.fnUntraced(function* (path: string) {
  const response = yield* HttpClient.get(path);
  return { status: response.status, text: yield* response.text, headers: response.headers };
});

describe("Operations", () => {
  it.effect("is alive whatever its servers do, and ready when they answer", () =>
    Effect.gen(function* () {
      let up = false;
      const check: Operations.Check = { name: "postgres", run: Effect.suspend(() => (up ? Effect.void : Effect.fail("secret"))) };
      yield* Effect.gen(function* () {
        assert.strictEqual((yield* get("/livez")).status, 200);
        const down = yield* get("/readyz");
        assert.strictEqual(down.status, 503);
        const body = yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Problem.Body))(down.text);
        assert.strictEqual(body.code, "unavailable");
        assert.strictEqual(body.detail, "not ready: postgres");
        assert.strictEqual(down.headers["retry-after"], "1");
        assert.strictEqual((yield* get("/health")).status, 503);
        up = true;
        assert.deepInclude(yield* get("/readyz"), { status: 200, text: "ok" });
        assert.strictEqual((yield* get("/health")).status, 200);
        assert.include((yield* get("/readyz?verbose")).text, "postgres ok");
      }).pipe(Effect.provide(serve([check])));
    }),
  );

  it.live("does not wait for a server that hangs, and survives a check that dies", () =>
    Effect.gen(function* () {
      const names = yield* Operations.failing([
        { name: "hangs", run: Effect.never },
        { name: "dies", run: Effect.die("boom") },
        { name: "works", run: Effect.void },
      ]);
      assert.deepStrictEqual(names, ["hangs", "dies"]);
    }),
  );

  it.effect("shows its metrics as Prometheus text", () =>
    Effect.gen(function* () {
      yield* Metric.update(Metric.counter("saga_test_total", { description: "a test", incremental: true }), 3);
      const { status, text, headers } = yield* get("/metrics");
      assert.strictEqual(status, 200);
      assert.include(headers["content-type"], "text/plain");
      assert.include(text, "saga_test_total 3");
    }).pipe(Effect.provide(serve([]))),
  );
});

describe("ProblemCode", () => {
  it("has one URI a code, and every status that the platform answers with has a code of that status", () => {
    assert.strictEqual(new Set(ProblemCode.codes.map(ProblemCode.typeOf)).size, ProblemCode.codes.length);
    for (const status of [400, 401, 403, 404, 405, 413, 415, 429, 500, 503]) {
      assert.strictEqual(ProblemCode.table[ProblemCode.ofStatus(status)].status, status);
    }
    assert.strictEqual(ProblemCode.ofStatus(418), "invalid_request");
    assert.strictEqual(ProblemCode.ofStatus(502), "internal_error");
  });
});
