/**
 * `@org/saga-redis`: the ports of `@org/saga-core` that Redis serves well: stock reservation (a fast gate, not the ledger) and
 * locks.
 */
export * as RedisClient from "./RedisClient.ts";
export * as RedisConfig from "./RedisConfig.ts";
export * as RedisError from "./RedisError.ts";
export * as RedisStock from "./RedisStock.ts";
export * as RedisStockLog from "./RedisStockLog.ts";
export * as RedisLock from "./RedisLock.ts";
