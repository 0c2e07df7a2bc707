/**
 * An Apache Kafka broker of one's own: one node, broker and controller, 127.0.0.1 only, no topics made by themselves.
 *
 * Its own traffic has a listener of its own, so that a proxy in front of the clients' one (`advertisedPort`) disturbs only clients.
 */
import { existsSync } from "node:fs";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { kafkaJars, NODE_PROPERTIES, propertiesText } from "./KafkaJars.ts";
import { HOST, freePort } from "./Port.ts";
import { type Server, serverOf, startOrRemove } from "./Server.ts";
import { ServerProcess } from "./ServerProcess.ts";
import { makeWorkFolder } from "./WorkFolder.ts";

export interface KafkaOptions {
  readonly port?: number | undefined;
  /** The port that clients are told; default: the broker's. For a proxy in between. */
  readonly advertisedPort?: number | undefined;
  /** Kept by `stop()`, and used again if a broker ran on it. Default: a temporary folder. */
  readonly dataDir?: string | undefined;
  /** Lines of server.properties. */
  readonly properties?: Readonly<Record<string, string>> | undefined;
}

export interface KafkaServer extends Server {
  /** Where clients connect, at the advertised port. */
  readonly brokers: string[];
  readonly dataDir: string;
}

/** 190 MB resident, started in 1.5 s. */
const JVM_FLAGS = [
  "-Xms192m",
  "-Xmx384m",
  "-XX:+UseSerialGC",
  "-XX:TieredStopAtLevel=1",
  "-XX:MaxDirectMemorySize=128m",
  "-Djava.net.preferIPv4Stack=true",
];

export const SINGLE_NODE_PROPERTIES = {
  "offsets.topic.replication.factor": "1",
  "offsets.topic.num.partitions": "1",
  "transaction.state.log.replication.factor": "1",
  "transaction.state.log.min.isr": "1",
  "transaction.state.log.num.partitions": "1",
  "share.coordinator.state.topic.replication.factor": "1",
  "share.coordinator.state.topic.min.isr": "1",
  "share.coordinator.state.topic.num.partitions": "1",
  "group.initial.rebalance.delay.ms": "0",
  "auto.create.topics.enable": "false",
  "log.cleaner.dedupe.buffer.size": "16777216",
  // A broker that was killed may come back after its session: 4 s instead of 11.
  "broker.session.timeout.ms": "3000",
  "broker.heartbeat.interval.ms": "500",
  "group.consumer.heartbeat.interval.ms": "300",
  "group.consumer.min.heartbeat.interval.ms": "300",
};

const LOG4J_PROPERTIES = {
  "rootLogger.level": "warn",
  "rootLogger.appenderRef.console.ref": "console",
  "appender.console.type": "Console",
  "appender.console.name": "console",
  "appender.console.layout.type": "PatternLayout",
  "appender.console.layout.pattern": "%d %p %c %m%n",
  "logger.server.name": "kafka.server.KafkaRaftServer",
  "logger.server.level": "info",
};

export async function startKafka(options: KafkaOptions = {}): Promise<KafkaServer> {
  const { java, classPath, formatted } = await kafkaJars();
  const port = options.port ?? (await freePort());
  const advertisedPort = options.advertisedPort ?? port;
  const [internalPort, controllerPort] = [await freePort(), await freePort()];
  const folder = await makeWorkFolder("kafka");
  const dataDir = options.dataDir === undefined ? join(folder.path, "data") : resolve(options.dataDir);
  await mkdir(dataDir, { recursive: true });
  if (!existsSync(join(dataDir, "meta.properties"))) await cp(formatted, dataDir, { recursive: true });
  const internal = `INTERNAL://${HOST}:${internalPort}`;
  const config = join(folder.path, "server.properties");
  const properties = {
    ...NODE_PROPERTIES,
    ...SINGLE_NODE_PROPERTIES,
    listeners: `PLAINTEXT://${HOST}:${port},${internal},CONTROLLER://${HOST}:${controllerPort}`,
    "advertised.listeners": `PLAINTEXT://${HOST}:${advertisedPort},${internal}`,
    "controller.quorum.voters": `1@${HOST}:${controllerPort}`,
    "log.dirs": dataDir,
    ...options.properties,
  };
  const logging = join(folder.path, "log4j2.properties");
  await writeFile(config, propertiesText(properties));
  await writeFile(logging, propertiesText(LOG4J_PROPERTIES));
  const server = new ServerProcess({
    name: "Apache Kafka",
    command: java,
    args: [...JVM_FLAGS, `-Dlog4j2.configurationFile=${logging}`, "-cp", classPath, "kafka.Kafka", config],
    folder: folder.path,
    ready: "Kafka Server started",
    stopSignal: "SIGTERM",
    quickSignal: "SIGKILL",
  });
  await startOrRemove({ server, folder });
  return serverOf({ server, folder, port, keepsData: options.dataDir !== undefined }, { brokers: [`${HOST}:${advertisedPort}`], dataDir });
}
