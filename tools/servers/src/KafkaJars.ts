/**
 * Apache Kafka's jars from Maven Central, fetched once a machine (44 MB) into the user's cache, and beside them a formatted, empty log
 * folder to copy: formatting takes a JVM start of 0.6 s each time.
 *
 * Each download goes to a folder of its own and is renamed when complete, so a crash leaves no half of it. The lock only spares a second
 * download at the same time; nothing rests on it.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { protect } from "./Guard.ts";
import { findPrograms, run } from "./Programs.ts";

export const KAFKA_VERSION = "4.3.1";
/** Not among Kafka's own dependencies; without it nothing is logged. */
const LOG4J_VERSION = "2.25.4";
const COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
/** Any fixed 16 bytes in base64url: brokers of one's own never meet. */
const CLUSTER_ID = "c2FnYS1jb3JlLXRlc3RzMA";

const JAVA_MAJOR_MIN = 17;
const JAVA_FOLDERS = ["/usr/lib/jvm/*/bin", "/opt/homebrew/opt/openjdk*/bin", "/usr/local/opt/openjdk*/bin"];

/** Longer than a download takes on a slow line; an older lock is left over. */
const LOCK_AGE_MAX_MS = 10 * 60_000;
const LOCK_POLL_MS = 200;

export interface KafkaJars {
  readonly java: string;
  readonly classPath: string;
  /** Contents of the log folder of a broker that never ran. */
  readonly formatted: string;
}

/** What is missing, or undefined. */
export async function missingForKafka(): Promise<string | undefined> {
  if ((await findJava()) === undefined) return `no Java ${JAVA_MAJOR_MIN} or newer was found`;
  if (!existsSync(home()) && findMaven() === undefined) return "Kafka is not in the cache yet, and no Maven (mvn) was found to fetch it";
  return undefined;
}

export async function kafkaJars(): Promise<KafkaJars> {
  const missing = await missingForKafka();
  const java = await findJava();
  if (missing !== undefined || java === undefined) throw new Error(`Apache Kafka cannot be started: ${missing}`);
  if (!existsSync(home())) await locked(() => fetch(java));
  return { java, classPath: join(home(), "lib", "*"), formatted: join(home(), "formatted") };
}

/** Keys that formatting and the broker share. */
export const NODE_PROPERTIES = {
  "process.roles": "broker,controller",
  "node.id": "1",
  "controller.listener.names": "CONTROLLER",
  "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
  "inter.broker.listener.name": "INTERNAL",
};

export function propertiesText(properties: Readonly<Record<string, string>>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value.replaceAll("\\", "\\\\")}\n`)
    .join("");
}

const cacheFolder = () => join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "saga-core");
const home = () => join(cacheFolder(), `kafka-${KAFKA_VERSION}`);
const findMaven = () => findPrograms("mvn", ["/opt/homebrew/bin", "/usr/local/bin"])[0];

let java: Promise<string | undefined> | undefined;

function findJava(): Promise<string | undefined> {
  return (java ??= newEnoughJava());
}

async function newEnoughJava(): Promise<string | undefined> {
  const javaHome = process.env["JAVA_HOME"];
  const candidates = findPrograms("java", JAVA_FOLDERS);
  for (const candidate of javaHome ? [join(javaHome, "bin", "java"), ...candidates] : candidates) {
    const version = await run(candidate, ["-version"]).catch(() => undefined);
    const major = /version "(\d+)/.exec(version?.stderr ?? "")?.[1];
    if (Number(major) >= JAVA_MAJOR_MIN) return candidate;
  }
  return undefined;
}

async function locked(body: () => Promise<void>): Promise<void> {
  const lock = `${home()}.lock`;
  const owner = join(lock, "owner");
  await mkdir(cacheFolder(), { recursive: true });
  while (!existsSync(home())) {
    const mine = await mkdir(lock).then(
      () => true,
      () => false,
    );
    if (!mine) {
      if (await isLeftOver(lock, owner)) await rm(lock, { recursive: true, force: true });
      else await sleep(LOCK_POLL_MS);
      continue;
    }
    const release = protect({ folder: lock });
    try {
      await writeFile(owner, String(process.pid));
      if (!existsSync(home())) await body();
    } finally {
      await rm(lock, { recursive: true, force: true });
      release();
    }
  }
}

async function isLeftOver(lock: string, owner: string): Promise<boolean> {
  try {
    if (Date.now() - (await stat(lock)).mtimeMs > LOCK_AGE_MAX_MS) return true;
    const pid = Number(await readFile(owner, "utf8"));
    return pid !== 0 && !isAlive(pid);
  } catch {
    // Just made, or just removed.
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

async function fetch(javaProgram: string): Promise<void> {
  const maven = findMaven();
  if (maven === undefined) throw new Error("no Maven (mvn) was found");
  process.stderr.write(`Fetching Apache Kafka ${KAFKA_VERSION} with Maven (44 MB, once) ...\n`);
  const staging = await mkdtemp(`${home()}.`);
  const release = protect({ folder: staging });
  try {
    await writeFile(join(staging, "pom.xml"), POM);
    await run(maven, ["-B", "-q", "-f", "pom.xml", COPY_DEPENDENCIES, "-DincludeScope=runtime", "-DoutputDirectory=lib"], { cwd: staging });
    await format(javaProgram, staging);
    await rename(staging, home()).catch((error: unknown) => {
      // Somebody else was faster.
      if (!existsSync(home())) throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
    release();
  }
}

/** The ports are of no matter here: a formatted folder does not contain them. */
async function format(javaProgram: string, folder: string): Promise<void> {
  const config = join(folder, "format.properties");
  const properties = {
    ...NODE_PROPERTIES,
    listeners: "PLAINTEXT://127.0.0.1:9092,INTERNAL://127.0.0.1:9093,CONTROLLER://127.0.0.1:9094",
    "controller.quorum.voters": "1@127.0.0.1:9094",
    "log.dirs": join(folder, "formatted"),
  };
  await writeFile(config, propertiesText(properties));
  const tool = ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "-c", config];
  await run(javaProgram, ["-XX:TieredStopAtLevel=1", "-cp", join(folder, "lib", "*"), ...tool]);
}

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId>
  <artifactId>kafka-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>${KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>${LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
`;
