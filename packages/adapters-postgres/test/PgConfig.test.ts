/** A configuration says what is wrong with it, and never shows its address. */
import { ConfigProvider, Duration, Effect, Layer, Redacted } from "effect";
import { describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgConfig from "../src/PgConfig.ts";

const URL_TEXT = "postgres://user:secret-value@127.0.0.1:5432/shop";

const failureOf = (options: PgConfig.PgOptions) => Effect.runPromise(Effect.flip(Effect.scoped(Layer.build(PgClient.layer(options)))));

describe("PgConfig", () => {
  it("has a default for everything but the address", () => {
    const config = PgConfig.make({ url: URL_TEXT });
    expect(config).toMatchObject({ schema: "saga", applicationName: "saga", poolSize: 10 });
    expect(Redacted.value(config.url)).toBe(URL_TEXT);
    expect(PgConfig.problemOf(config)).toBeNull();
  });

  it("takes durations in any form, and a redacted address", () => {
    const config = PgConfig.make({
      url: Redacted.make(URL_TEXT),
      schema: "order",
      applicationName: "order-web",
      poolSize: 3,
      connectTimeout: "1 second",
      statementTimeout: 500,
      lockTimeout: Duration.millis(250),
      idleInTransactionTimeout: "1 minute",
      keepAlive: "2 seconds",
    });
    expect(config).toMatchObject({ schema: "order", applicationName: "order-web", poolSize: 3 });
    expect(Duration.toMillis(config.statementTimeout)).toBe(500);
    expect(Duration.toMillis(config.idleInTransactionTimeout)).toBe(60_000);
  });

  it("never shows its address", () => {
    expect(JSON.stringify(PgConfig.make({ url: URL_TEXT }))).not.toContain("secret-value");
  });

  it.each([
    [{ url: URL_TEXT, schema: "Order" }, /schema name/],
    [{ url: URL_TEXT, schema: 'x"; drop table orders; --' }, /schema name/],
    [{ url: URL_TEXT, schema: "a".repeat(64) }, /schema name/],
    [{ url: URL_TEXT, poolSize: 0 }, /poolSize/],
    [{ url: URL_TEXT, poolSize: 1.5 }, /poolSize/],
    [{ url: URL_TEXT, statementTimeout: 0 }, /statementTimeout must be from 1 millisecond to 24 days/],
    [{ url: URL_TEXT, statementTimeout: Duration.days(30) }, /statementTimeout must be from/],
    [{ url: URL_TEXT, lockTimeout: Duration.infinity }, /lockTimeout must be from/],
    [{ url: URL_TEXT, connectTimeout: Duration.infinity }, /connectTimeout must be from/],
    [{ url: URL_TEXT, idleInTransactionTimeout: -1 }, /idleInTransactionTimeout must be from/],
    [{ url: URL_TEXT, applicationName: "a\u0000b" }, /applicationName cannot hold a NUL/],
    [{ url: "secret-value" }, /url must have the form/],
    [{ url: "mysql://user:secret-value@host/db" }, /url must have the form/],
  ])("a client refuses a wrong configuration before it connects: %j", async (options, message) => {
    const error = await failureOf(options);
    expect(error.reason).toBe("Misuse");
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("secret-value");
  });

  it("comes from the environment", async () => {
    const read = (env: Record<string, string>) => Effect.runPromise(PgConfig.config.parse(ConfigProvider.fromEnv({ env })));
    const config = await read({ POSTGRES_URL: URL_TEXT, POSTGRES_SCHEMA: "checkout", POSTGRES_POOL_SIZE: "4" });
    expect(config).toMatchObject({ schema: "checkout", poolSize: 4 });
    expect(Redacted.value(config.url)).toBe(URL_TEXT);
    expect(await read({ POSTGRES_URL: URL_TEXT })).toMatchObject({ schema: "saga", poolSize: 10 });
    await expect(read({})).rejects.toThrow(/POSTGRES_URL/);
  });
});
