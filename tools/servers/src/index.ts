/**
 * Real PostgreSQL, Redis and Apache Kafka servers of one's own on free ports of 127.0.0.1: for integration tests, end-to-end tests,
 * benchmarks and the real stack. Nothing that was started here outlives the process that started it.
 */
export { protect, type Protected } from "./Guard.ts";
export { type KafkaOptions, type KafkaServer, startKafka } from "./Kafka.ts";
export { freePort } from "./Port.ts";
export { type PostgresOptions, type PostgresServer, startPostgres } from "./Postgres.ts";
export { probeKafka, probePostgres, probeRedis } from "./Probe.ts";
export { type RedisOptions, type RedisServer, startRedis } from "./Redis.ts";
export type { Server } from "./Server.ts";
export { detect, ensureServers, type Found, type ServerName, type Servers } from "./Servers.ts";
export { startTcpProxy, type TcpProxy, type TcpProxyOptions } from "./TcpProxy.ts";
