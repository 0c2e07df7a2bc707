import { Contract, LockContract } from "@org/saga-core/testing";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer } from "effect";
import { describe, test } from "vitest";
import { RedisClient, RedisConfig, RedisLock } from "../src/index.ts";

const url = realServer("redis") ?? "";

const locks = (prefix: string) => RedisLock.layer.pipe(Layer.provide(RedisClient.layer), Layer.provide(RedisConfig.layer({ url, prefix })));

describe.runIf(url !== "")("RedisLock keeps the contract of Lock:", () => {
  for (const { name, run } of LockContract.cases) {
    test(name, () =>
      Contract.unique("test").pipe(
        Effect.flatMap((prefix) => Effect.provide(run, locks(prefix))),
        Effect.runPromise,
      ),
    );
  }
});
