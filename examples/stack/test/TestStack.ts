/**
 * A stack of a test's own on the servers of this run: a database, topics, groups and keys that nobody else uses, free ports,
 * logs in a temporary folder; and nothing left of it in the end.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, protect } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Redis } from "ioredis";
import { Kafka, logLevel } from "kafkajs";
import * as Provision from "../src/Provision.ts";
import { type Addresses, type Options, type Ports, perService, RealStack, SERVICES } from "../src/RealStack.ts";

/** Keys looked at in one step of a scan. */
const SCAN_COUNT = 1_000;

/** Where the servers of this run answer; null where one of them is missing. */
export const addresses = (): Addresses | null => {
  const postgresUrl = realServer("postgres");
  const redisUrl = realServer("redis");
  const kafkaBrokers = realServer("kafka");
  return postgresUrl === null || redisUrl === null || kafkaBrokers === null ? null : { postgresUrl, redisUrl, kafkaBrokers };
};

export interface TestStack {
  readonly stack: RealStack;
  /** Stops the services. `failed`: their logs stay, and it says where. */
  readonly stop: (failed: boolean) => Promise<void>;
  /** The same, and removes everything of this stack from its servers. */
  readonly remove: (failed: boolean) => Promise<void>;
}

/** Not started. */
export const make = async (servers: Addresses, options: Pick<Options, "env"> & { readonly database?: string } = {}): Promise<TestStack> => {
  const name = `saga-e2e-${randomBytes(4).toString("hex")}`;
  const logFolder = await mkdtemp(join(tmpdir(), `${name}-`));
  const stack = new RealStack({
    servers,
    database: options.database ?? name.replaceAll("-", "_"),
    topicPrefix: `${name}.`,
    redisPrefix: `${name}:`,
    ports: await freePorts(),
    logFolder,
    env: options.env,
    guard: (pid) => protect({ pid }),
  });
  const stop = async (failed: boolean): Promise<void> => {
    await stack.stop();
    if (failed) process.stderr.write(`logs: ${logFolder}\n`);
    else await rm(logFolder, { recursive: true, force: true });
  };
  return {
    stack,
    stop,
    remove: async (failed) => {
      await stop(failed);
      await removeFrom(servers, { postgresUrl: stack.postgresUrl, topicPrefix: `${name}.`, redisPrefix: `${name}:` });
    },
  };
};

/** Removes a stack that does not run any more from its servers. */
export const removeFrom = async (
  servers: Addresses,
  stack: { readonly postgresUrl: string; readonly topicPrefix: string; readonly redisPrefix: string },
): Promise<void> => {
  await removeTopics(servers, stack.topicPrefix);
  await removeKeys(servers, stack.redisPrefix);
  await Provision.dropDatabase(stack.postgresUrl);
};

export const freePorts = async (): Promise<Ports> => {
  const found = new Map(await Promise.all(SERVICES.map(async (service) => [service, await freePort()] as const)));
  return perService((service) => found.get(service) ?? 0);
};

const removeTopics = async ({ kafkaBrokers }: Addresses, prefix: string): Promise<void> => {
  const admin = new Kafka({ brokers: [...kafkaBrokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const groups = (await admin.listGroups()).groups.map(({ groupId }) => groupId).filter((id) => id.startsWith(prefix));
    // A group of a member that was killed is not empty until its session has ended: it expires by itself.
    if (groups.length > 0) await admin.deleteGroups(groups).catch(() => undefined);
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix));
    if (topics.length > 0) await admin.deleteTopics({ topics });
  } finally {
    await admin.disconnect();
  }
};

const removeKeys = async ({ redisUrl }: Addresses, prefix: string): Promise<void> => {
  const redis = new Redis(redisUrl, { lazyConnect: true });
  await redis.connect();
  try {
    for await (const keys of redis.scanStream({ match: `*${prefix}*`, count: SCAN_COUNT })) {
      const found: ReadonlyArray<unknown> = Array.isArray(keys) ? keys : [];
      const names = found.filter((key) => typeof key === "string");
      if (names.length > 0) await redis.del(names);
    }
  } finally {
    redis.disconnect();
  }
};
