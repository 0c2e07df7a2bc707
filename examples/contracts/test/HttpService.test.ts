import { Agent, get, type IncomingMessage } from "node:http";
import { assert, describe, it } from "@effect/vitest";
import { Effect, Exit, Layer, Scope } from "effect";
import { HttpRouter, HttpServerResponse } from "effect/http";
import { HttpService } from "../src/index.ts";

/** Longer than the test may take: who waits for the end of it, fails. */
const DRAIN_MS = 60_000;

const ask = (url: string, agent: Agent): Promise<{ readonly status: number; readonly connection: string | undefined }> =>
  new Promise((resolve, reject) => {
    get(url, { agent }, (response: IncomingMessage) => {
      response.resume();
      response.once("end", () => resolve({ status: response.statusCode ?? 0, connection: response.headers.connection }));
    }).once("error", reject);
  });

describe("HttpService", () => {
  it.live("is not kept from ending by clients that keep their connection and go on asking", () =>
    Effect.gen(function* () {
      const routes = HttpRouter.add("GET", "/slow", Effect.delay(Effect.succeed(HttpServerResponse.text("slow")), 100));
      const scope = yield* Scope.make();
      const context = yield* Layer.buildWithScope(HttpService.serve(routes, { host: "127.0.0.1", port: 0, drainMillis: DRAIN_MS }), scope);
      const url = `${yield* Effect.provideContext(HttpService.url, context)}/slow`;
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const answers: Array<{ readonly status: number; readonly connection: string | undefined }> = [];
      const client = (async () => {
        for (;;) answers.push(await ask(url, agent));
      })().catch(() => undefined);
      while (answers.length === 0) yield* Effect.sleep(10);
      yield* Scope.close(scope, Exit.void);
      yield* Effect.promise(() => client);
      agent.destroy();
      assert.isTrue(answers.every(({ status }) => status === 200));
      assert.strictEqual(answers[0]?.connection, "keep-alive");
    }),
  );
});
