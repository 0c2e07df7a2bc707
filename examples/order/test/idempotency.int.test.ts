/** One key, many callers, two order services on one PostgreSQL, over HTTP; and the death of one in the middle of a commit. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { NodeHttpServer } from "@effect/platform-node";
import { Context, Effect, Layer, References, type Scope } from "effect";
import { HttpBody, HttpClient, HttpClientRequest, HttpRouter } from "effect/http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Catalogue } from "@example/catalog";
import { HttpService } from "@example/contracts";
import { type IdempotencyKey, IdempotencyKeys, UnitOfWork } from "@org/saga-core";
import { PgClient, PgStores } from "@org/saga-postgres";
import { OrderHttp, OrderService } from "@example/order";
import { realServer } from "@tools/servers/testing";

const url = realServer("postgres") ?? "";
const HOLDER = fileURLToPath(new URL("holder.main.ts", import.meta.url));
const CALLERS = 100;

const cart = JSON.stringify({ lines: [{ sku: "mug", quantity: 2 }], paymentMethod: "pm_success" });

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string | undefined;
}

/** A caller of one order service. */
type Ask = (key: string, body?: string) => Effect.Effect<Answer, unknown>;

/** An order service over HTTP with a pool of its own, as long as the scope. `seen` hears of every key that is claimed. */
const service = (schema: string, seen: (key: IdempotencyKey) => void = () => undefined): Effect.Effect<Ask, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const stores = PgStores.layer({ url, schema });
    const watched = Layer.effect(
      IdempotencyKeys,
      Effect.map(IdempotencyKeys, (keys) => ({
        ...keys,
        claim: (list) => {
          for (const key of list) seen(key);
          return keys.claim(list);
        },
      })),
    ).pipe(Layer.provideMerge(stores));
    const app = HttpRouter.serve(HttpService.application(OrderHttp.routes, []), { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide(OrderService.layer()),
      Layer.provide([Catalogue.layer, watched]),
      Layer.provideMerge(NodeHttpServer.layerTest),
    );
    const client = Context.get(yield* Layer.build(app), HttpClient.HttpClient);
    return Effect.fnUntraced(function* (key: string, body = cart) {
      const request = HttpClientRequest.post("/api/v1/orders").pipe(
        HttpClientRequest.setHeaders({ "x-customer-id": "ada", "idempotency-key": key }),
        HttpClientRequest.setBody(HttpBody.text(body, "application/json")),
      );
      const response = yield* client.execute(request);
      return { status: response.status, text: yield* response.text, retryAfter: response.headers["retry-after"] };
    });
  });

/** As a caller does that is told to come again. */
const insist = (ask: Ask, key: string, body?: string): Effect.Effect<Answer, unknown> =>
  Effect.flatMap(ask(key, body), (answer) => (answer.status === 409 ? insist(ask, key, body) : Effect.succeed(answer)));

/** A process that is in the middle of its commit when it says so. */
const holder = (schema: string, key: IdempotencyKey): ChildProcessByStdio<null, Readable, null> =>
  spawn(process.execPath, ["--conditions=@org/source", "--disable-warning=ExperimentalWarning", HOLDER, url, schema, JSON.stringify(key)], {
    stdio: ["ignore", "pipe", "inherit"],
  });

describe.runIf(url !== "")("one key", () => {
  const schema = `order_idem_${process.pid}`;
  const onDatabase = <A, E>(use: Effect.Effect<A, E, PgClient.PgClient>): Promise<A> =>
    Effect.runPromise(Effect.provide(use, PgClient.layer({ url, schema })));
  const ordersOf = (): Promise<ReadonlyArray<string>> =>
    onDatabase(
      Effect.gen(function* () {
        const client = yield* PgClient.PgClient;
        const { rows } = yield* client.query<{ readonly id: string }>("Test.sql", `select id from ${client.tables}orders order by id`);
        return rows.map(({ id }) => id);
      }),
    );
  const run = <A>(test: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> =>
    Effect.runPromise(test.pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")));

  beforeAll(() => Effect.runPromise(Effect.asVoid(Effect.provide(UnitOfWork, PgStores.layer({ url, schema })))));
  afterAll(() =>
    onDatabase(Effect.flatMap(PgClient.PgClient, (client) => client.query("Test.sql", `drop schema ${client.quoted} cascade`))),
  );

  it("of many callers at a time and two services is one order, and everybody is told the same, or to come again", async () => {
    const before = (await ordersOf()).length;
    const answers = await run(
      Effect.gen(function* () {
        const asks = [yield* service(schema), yield* service(schema)];
        const callers = Array.from({ length: CALLERS }, (_, index) => asks[index % 2] ?? asks[0]).flatMap((ask) => ask ?? []);
        const first = yield* Effect.forEach(callers, (ask) => ask("crowd"), { concurrency: "unbounded" });
        const again = yield* Effect.forEach(callers, (ask) => insist(ask, "crowd"), { concurrency: "unbounded" });
        return { first, again };
      }),
    );
    const placed = new Set([...answers.first, ...answers.again].filter(({ status }) => status === 201).map(({ text }) => text));
    expect(placed.size).toBe(1);
    for (const { status } of answers.first) expect([201, 409]).toContain(status);
    expect(new Set(answers.again.map(({ status }) => status))).toEqual(new Set([201]));
    expect((await ordersOf()).length).toBe(before + 1);
  });

  it("of many callers with two bodies belongs to one of them, and the others are refused", async () => {
    const other = cart.replace("2", "3");
    const answers = await run(
      Effect.gen(function* () {
        const asks = [yield* service(schema), yield* service(schema)];
        return yield* Effect.forEach(
          asks.flatMap((ask) => [ask, ask, ask, ask, ask].map((one, index) => ({ one, body: index % 2 === 0 ? cart : other }))),
          ({ one, body }) => Effect.map(insist(one, "torn", body), (answer) => ({ ...answer, body })),
          { concurrency: "unbounded" },
        );
      }),
    );
    const winners = answers.filter(({ status }) => status === 201);
    expect(new Set(winners.map(({ body, text }) => `${body} ${text}`)).size).toBe(1);
    for (const { status, body } of answers) expect(status).toBe(body === winners[0]?.body ? 201 : 422);
  });

  it("that a killed process held is told to come again while it lives, and placed afterwards; nothing of the dead one is left", async () => {
    const keys: Array<IdempotencyKey> = [];
    await run(
      Effect.gen(function* () {
        const ask = yield* service(schema, (key) => keys.push(key));
        // Which key the service makes of a request: another one, that only differs in its name.
        yield* ask("model");
        const [model] = keys;
        if (model === undefined) return yield* Effect.die("no key was claimed");
        const child = yield* Effect.acquireRelease(
          Effect.sync(() => holder(schema, { ...model, key: "held" })),
          (process) => Effect.sync(() => process.kill("SIGKILL")),
        );
        const [line] = yield* Effect.promise(() => once(createInterface(child.stdout), "line"));
        expect(line).toBe("claimed");
        const before = yield* Effect.promise(ordersOf);

        const told = yield* ask("held");
        expect([told.status, told.retryAfter]).toEqual([409, "1"]);
        expect(JSON.parse(told.text)).toMatchObject({ code: "idempotency_key_in_flight", status: 409 });
        // It holds up nobody else.
        expect((yield* ask("neighbour")).status).toBe(201);

        const gone = once(child, "exit");
        child.kill("SIGKILL");
        yield* Effect.promise(() => gone);
        const placed = yield* insist(ask, "held");
        expect(placed.status).toBe(201);
        expect(yield* ask("held")).toEqual(placed);
        const after = yield* Effect.promise(ordersOf);
        expect(after.length).toBe(before.length + 2);
        expect(after).not.toContain("held-order");
      }),
    );
  });
});
