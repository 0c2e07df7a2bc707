/**
 * Vitest's global setup: the three servers, started once a run for all projects that name this file, and stopped with the last of them.
 * A server that cannot be started is a failure in CI; elsewhere its tests are left out, and a notice says so.
 */
import type { TestProject } from "vitest/node";
import { SERVER_NAMES, type ServerName, startServers, stopServers } from "./Servers.ts";

declare module "vitest" {
  export interface ProvidedContext {
    postgresUrl: string | null;
    redisUrl: string | null;
    kafkaBrokers: string[] | null;
    /** Why a server is not there; null: it is. */
    servers: Record<ServerName, string | null>;
  }
}

interface Shared {
  users: number;
  servers: ReturnType<typeof startServers> | undefined;
}

/** Each project loads its own copy of this module. */
const SHARED = Symbol.for("@tools/servers/vitest");

function shared(): Shared {
  const holder = globalThis as { [SHARED]?: Shared };
  return (holder[SHARED] ??= { users: 0, servers: undefined });
}

export async function setup(project: TestProject): Promise<void> {
  const run = shared();
  run.users++;
  const isFirst = run.servers === undefined;
  run.servers ??= startServers(process.env);
  const servers = await run.servers;
  const missing = SERVER_NAMES.flatMap((name) => (servers[name].address === null ? [`${name}: ${servers[name].reason}`] : []));
  if (missing.length > 0 && process.env["CI"]) {
    await teardown();
    throw new Error(`Servers are missing, and in CI no test is left out.\n${missing.join("\n")}`);
  }
  if (isFirst && missing.length > 0) process.stderr.write(`\nTests that need these servers are LEFT OUT:\n  ${missing.join("\n  ")}\n\n`);
  project.provide("postgresUrl", servers.postgres.address);
  project.provide("redisUrl", servers.redis.address);
  project.provide("kafkaBrokers", servers.kafka.address?.split(",") ?? null);
  const reasonOf = (name: ServerName) => (servers[name].address === null ? servers[name].reason : null);
  project.provide("servers", { postgres: reasonOf("postgres"), redis: reasonOf("redis"), kafka: reasonOf("kafka") });
}

export async function teardown(): Promise<void> {
  const run = shared();
  run.users--;
  if (run.users > 0 || run.servers === undefined) return;
  const servers = await run.servers;
  run.servers = undefined;
  await stopServers(servers);
}
