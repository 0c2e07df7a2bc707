/** The same servers as containers, where their programs are not installed. Published on a free port of 127.0.0.1, removed when stopped. */
import { setTimeout as sleep } from "node:timers/promises";
import { protect } from "./Guard.ts";
import { SINGLE_NODE_PROPERTIES } from "./Kafka.ts";
import { NODE_PROPERTIES } from "./KafkaJars.ts";
import { HOST, freePort } from "./Port.ts";
import { type Address, probeKafka, probePostgres, probeRedis } from "./Probe.ts";
import { lastLines, run } from "./Programs.ts";

export interface Container {
  readonly port: number;
  readonly stop: () => Promise<void>;
}

const INFO_TIMEOUT_MS = 5_000;
/** From the created container to its first answer; the image is pulled before. */
const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 100;

interface Recipe {
  readonly image: string;
  /** The port inside. */
  readonly port: number;
  readonly env: (published: number) => Readonly<Record<string, string>>;
  readonly command: readonly string[];
  readonly probe: (at: Address) => Promise<boolean>;
}

const RECIPES = {
  postgres: {
    image: "postgres:17-alpine",
    port: 5432,
    env: () => ({ POSTGRES_HOST_AUTH_METHOD: "trust", POSTGRES_INITDB_ARGS: "--encoding=UTF8 --locale=C" }),
    command: ["postgres", "-c", "max_connections=200"],
    probe: probePostgres,
  },
  redis: {
    image: "redis:7-alpine",
    port: 6379,
    env: () => ({}),
    command: ["redis-server", "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"],
    probe: probeRedis,
  },
  kafka: {
    image: "apache/kafka:4.1.0",
    port: 9092,
    env: (published) => kafkaEnvironment(published),
    command: [],
    probe: probeKafka,
  },
} as const satisfies Record<string, Recipe>;

let engine: Promise<boolean> | undefined;

/** Does a Docker engine answer? Asked once a process. */
export function dockerAnswers(): Promise<boolean> {
  return (engine ??= run("docker", ["info"], { timeout: INFO_TIMEOUT_MS }).then(
    () => true,
    () => false,
  ));
}

export async function startContainer(name: keyof typeof RECIPES): Promise<Container> {
  const recipe: Recipe = RECIPES[name];
  const port = await freePort();
  const env = Object.entries(recipe.env(port)).flatMap(([key, value]) => ["--env", `${key}=${value}`]);
  const publish = ["--publish", `${HOST}:${port}:${recipe.port}`];
  const { stdout } = await run("docker", ["run", "--detach", ...publish, ...env, recipe.image, ...recipe.command]);
  const id = stdout.trim().split("\n").at(-1) ?? "";
  const remove = ["rm", "--force", "--volumes", id];
  const release = protect({ command: ["docker", ...remove] });
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= run("docker", remove).then(release));
  try {
    await untilReady(recipe, port);
  } catch (error) {
    const log = await run("docker", ["logs", id]).catch(() => ({ stdout: "", stderr: "" }));
    await stop();
    throw new Error(`${recipe.image} did not start:\n${lastLines(log.stdout + log.stderr)}`, { cause: error });
  }
  return { port, stop };
}

async function untilReady(recipe: Recipe, port: number): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (!(await recipe.probe({ host: HOST, port }))) {
    if (performance.now() > deadline) throw new Error(`no answer within ${READY_TIMEOUT_MS} ms`);
    await sleep(POLL_MS);
  }
}

/** The image makes `some.property` of KAFKA_SOME_PROPERTY. */
function kafkaEnvironment(published: number): Record<string, string> {
  const properties = {
    ...NODE_PROPERTIES,
    ...SINGLE_NODE_PROPERTIES,
    listeners: "PLAINTEXT://:9092,INTERNAL://localhost:9093,CONTROLLER://localhost:9094",
    "advertised.listeners": `PLAINTEXT://${HOST}:${published},INTERNAL://localhost:9093`,
    "controller.quorum.voters": "1@localhost:9094",
  };
  return Object.fromEntries(Object.entries(properties).map(([name, value]) => [`KAFKA_${name.toUpperCase().replaceAll(".", "_")}`, value]));
}
