import { ConfigProvider, Effect, Redacted } from "effect";
import { describe, expect, test } from "vitest";
import { RedisConfig, RedisError } from "../src/index.ts";

const read = (env: Record<string, string>) =>
  Effect.runPromiseExit(
    Effect.provide(RedisConfig.RedisConfig, RedisConfig.layerConfig).pipe(
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env)),
    ),
  );

describe("RedisConfig", () => {
  test("is read from the environment, with defaults for what may be left out", async () => {
    expect(await read({ REDIS_URL: "redis://localhost:6379", REDIS_PREFIX: "shop" })).toMatchObject({
      value: { prefix: "shop", commandTimeoutMillis: RedisConfig.COMMAND_TIMEOUT_MS, connectTimeoutMillis: RedisConfig.CONNECT_TIMEOUT_MS },
    });
    expect(await read({ REDIS_URL: "redis://localhost:6379" })).toMatchObject({ value: { prefix: RedisConfig.PREFIX_DEFAULT } });
    expect((await read({}))._tag).toBe("Failure");
  });

  test.each(["redis://localhost", "redis://user:secret@127.0.0.1:6379/1", "rediss://:secret@redis.example:6380"])("takes %s", (url) => {
    expect(RedisConfig.problemOf(RedisConfig.settings({ url }))).toBeNull();
  });

  test.each(["", "localhost:6379", "http://:secret@localhost", "redis:localhost", "redis://:secret@localhost:99999"])(
    "says what address it expects, not %j, and does not repeat it",
    (url) => {
      const problem = RedisConfig.problemOf(RedisConfig.settings({ url }));
      expect(problem).toBe("url must have the form redis://user:password@host:port/database, or rediss://");
    },
  );

  test("does not show its address, which may hold a password", () => {
    const settings = RedisConfig.settings({ url: "redis://:secret@localhost", commandTimeoutMillis: 1, connectTimeoutMillis: 2 });
    expect(JSON.stringify(settings)).not.toContain("secret");
    expect(Redacted.value(RedisConfig.settings({ url: settings.url }).url)).toBe("redis://:secret@localhost");
  });
});

describe("RedisError", () => {
  const reply = (message: string) => Object.assign(new Error(message), { name: "ReplyError" });

  test("classifies what was lost by whether it may have happened", () => {
    expect(RedisError.classify(new Error("Connection is closed."), "test", false)).toMatchObject({
      reason: "Unavailable",
      isRetryable: true,
    });
    expect(RedisError.classify(new Error("Connection is closed."), "test", true)).toMatchObject({ reason: "Unknown", isRetryable: false });
  });

  test("takes a reply's first word, and nothing of the rest", () => {
    const loading = RedisError.classify(reply("LOADING Redis is loading secret.rdb"), "test", true);
    expect(loading).toMatchObject({ reason: "Unavailable", message: "the server answered LOADING" });
    expect(RedisError.classify(reply("WRONGTYPE key secret"), "test", true)).toMatchObject({ reason: "Refused" });
    for (const word of ["MOVED", "ASK"])
      expect(RedisError.classify(reply(`${word} 9822 secret`), "test", true)).toMatchObject({ reason: "Unavailable", isRetryable: true });
    for (const word of ["NOAUTH", "WRONGPASS", "NOPERM"])
      expect(RedisError.classify(reply(`${word} secret`), "test", true)).toMatchObject({ reason: "Misconfigured", isRetryable: false });
    expect(RedisError.classify(reply("no code"), "test", false)).toMatchObject({ reason: "Refused", message: "the server answered ERR" });
  });

  test("speaks to the ports in their words", () => {
    const words = (["Unavailable", "Unknown", "Conflict", "Refused", "Misconfigured"] as const).map(
      (reason) => RedisError.toStoreError(new RedisError.RedisError({ reason, operation: "test", message: "m" })).reason,
    );
    expect(words).toEqual(["Unavailable", "Unknown", "Contention", "Refused", "Misuse"]);
  });
});
