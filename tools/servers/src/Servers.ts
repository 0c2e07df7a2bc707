/** The three servers of a whole stack: those that the environment names, and for the rest one's own, as a program or in Docker. */
import { dockerAnswers, startContainer } from "./Docker.ts";
import { startKafka } from "./Kafka.ts";
import { missingForKafka } from "./KafkaJars.ts";
import { HOST } from "./Port.ts";
import { findPostgres, startPostgres } from "./Postgres.ts";
import { findRedis, startRedis } from "./Redis.ts";

export const SERVER_NAMES = ["postgres", "redis", "kafka"] as const;
export type ServerName = (typeof SERVER_NAMES)[number];

export type Found =
  | { readonly available: true; readonly by: "program" | "docker" }
  | { readonly available: false; readonly reason: string; readonly howToGet: string };

/** A server in use: `address` is a URL, or a comma-separated list of brokers. */
export interface Running {
  readonly address: string;
  /** Whether it was started here; otherwise it came from the environment, and `stop` leaves it alone. */
  readonly isOurs: boolean;
  readonly stop: () => Promise<void>;
}

export interface Absent {
  readonly address: null;
  /** What is missing, and how to get it. */
  readonly reason: string;
}

export interface Servers {
  readonly postgresUrl: string;
  readonly redisUrl: string;
  readonly kafkaBrokers: string[];
  /** Which were started here. */
  readonly started: ServerName[];
  /** Stops those. May be called again. */
  readonly stop: () => Promise<void>;
}

interface Recipe {
  readonly variable: string;
  readonly howToGet: string;
  /** What is missing to start it as a program, or undefined. */
  readonly missing: () => Promise<string | undefined>;
  readonly start: () => Promise<{ readonly address: string; readonly stop: () => Promise<void> }>;
  readonly containerAddress: (port: number) => string;
}

const RECIPES: Record<ServerName, Recipe> = {
  postgres: {
    variable: "SAGA_PG_URL",
    howToGet: "install PostgreSQL 15 or newer (apt-get install postgresql, brew install postgresql@17)",
    missing: async () => (findPostgres() === undefined ? "PostgreSQL's server (initdb, postgres) was not found" : undefined),
    start: () => startPostgres().then(({ url, stop }) => ({ address: url, stop })),
    containerAddress: (port) => `postgres://postgres@${HOST}:${port}/postgres`,
  },
  redis: {
    variable: "SAGA_REDIS_URL",
    howToGet: "install Redis 7 or newer (apt-get install redis-server, brew install redis)",
    missing: async () => (findRedis() === undefined ? "redis-server was not found" : undefined),
    start: () => startRedis().then(({ url, stop }) => ({ address: url, stop })),
    containerAddress: (port) => `redis://${HOST}:${port}`,
  },
  kafka: {
    variable: "SAGA_KAFKA_BROKERS",
    howToGet: "install Java 17 or newer and Maven (apt-get install default-jre-headless maven, brew install openjdk maven)",
    missing: missingForKafka,
    start: () => startKafka().then(({ brokers, stop }) => ({ address: brokers.join(","), stop })),
    containerAddress: (port) => `${HOST}:${port}`,
  },
};

/** What could be started here. */
export async function detect(): Promise<Record<ServerName, Found>> {
  const [postgres, redis, kafka] = await Promise.all([find("postgres"), find("redis"), find("kafka")]);
  return { postgres, redis, kafka };
}

async function find(name: ServerName): Promise<Found> {
  const { missing, howToGet, variable } = RECIPES[name];
  const reason = await missing();
  if (reason === undefined) return { available: true, by: "program" };
  if (await dockerAnswers()) return { available: true, by: "docker" };
  return { available: false, reason, howToGet: `${howToGet}, or start Docker, or set ${variable} to one that runs` };
}

/** Starts whichever of the three it can, side by side. One that cannot be started says why. */
export async function startServers(env: NodeJS.ProcessEnv): Promise<Record<ServerName, Running | Absent>> {
  const [postgres, redis, kafka] = await Promise.all([startOne("postgres", env), startOne("redis", env), startOne("kafka", env)]);
  return { postgres, redis, kafka };
}

/** Stops those that were started here. May be called again. */
export async function stopServers(servers: Record<ServerName, Running | Absent>): Promise<void> {
  const running = SERVER_NAMES.map((name) => servers[name]).filter((server) => server.address !== null);
  await Promise.all(running.map((server) => server.stop()));
}

/** All three, or an error that says what to install; then nothing is left running. */
export async function ensureServers(env: NodeJS.ProcessEnv = process.env): Promise<Servers> {
  const servers = await startServers(env);
  const all = SERVER_NAMES.map((name) => ({ name, server: servers[name] }));
  const stop = () => stopServers(servers);
  const { postgres, redis, kafka } = servers;
  if (postgres.address === null || redis.address === null || kafka.address === null) {
    await stop();
    const reasons = all.flatMap(({ name, server }) => (server.address === null ? [`${name}: ${server.reason}`] : []));
    throw new Error(`Servers are missing.\n${reasons.join("\n")}`);
  }
  return {
    postgresUrl: postgres.address,
    redisUrl: redis.address,
    kafkaBrokers: kafka.address.split(","),
    started: all.flatMap(({ name, server }) => (server.address !== null && server.isOurs ? [name] : [])),
    stop,
  };
}

async function startOne(name: ServerName, env: NodeJS.ProcessEnv): Promise<Running | Absent> {
  const recipe = RECIPES[name];
  const given = env[recipe.variable];
  if (given) return { address: given, isOurs: false, stop: async () => undefined };
  const found = await find(name);
  if (!found.available) return { address: null, reason: `${found.reason}: ${found.howToGet}` };
  try {
    if (found.by === "program") return { ...(await recipe.start()), isOurs: true };
    const { port, stop } = await startContainer(name);
    return { address: recipe.containerAddress(port), isOurs: true, stop };
  } catch (error) {
    return { address: null, reason: error instanceof Error ? error.message : String(error) };
  }
}
