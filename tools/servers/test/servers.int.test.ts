import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, inject, it, vi } from "vitest";
import {
  detect,
  ensureServers,
  freePort,
  type KafkaServer,
  probeKafka,
  probePostgres,
  probeRedis,
  type Server,
  startKafka,
  startPostgres,
  startRedis,
  startTcpProxy,
} from "../src/index.ts";
import { realServer } from "../src/testing.ts";

const host = "127.0.0.1";
const found = await detect();
const has = (name: keyof typeof found) => found[name].available && found[name].by === "program";

const open: { stop: () => Promise<void> }[] = [];
const kept = <S extends { stop: () => Promise<void> }>(one: S): S => {
  open.push(one);
  return one;
};
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.stop()));
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function expectGone(server: Server): Promise<void> {
  const { pid, logFile } = server;
  expect(isAlive(pid)).toBe(true);
  await Promise.all([server.stop(), server.stop()]);
  expect(isAlive(pid)).toBe(false);
  expect(existsSync(dirname(logFile))).toBe(false);
  await expect(server.restart()).rejects.toThrow("was stopped");
}

/** Sends text to a port, and resolves with what has come back when that ends with the given text. */
async function talk(port: number, text: string, end: string): Promise<string> {
  const socket = connect(port, host);
  socket.write(text);
  let answer = "";
  for await (const chunk of socket) {
    answer += String(chunk);
    if (answer.endsWith(end)) break;
  }
  return answer;
}

const redis = (port: number, command: string) => talk(port, `${command}\r\n`, "\r\n");

/** One simple query on a connection of its own, with nothing but sockets: the whole answer as text. */
async function query(port: number, sql: string): Promise<string> {
  const int = (value: number) => Buffer.from(Uint32Array.of(value).buffer).reverse();
  const startup = Buffer.from("\0\x03\0\0user\0postgres\0database\0postgres\0\0", "latin1");
  const question = Buffer.from(`${sql}\0`);
  const socket = connect(port, host);
  socket.write(Buffer.concat([int(startup.length + 4), startup]));
  let answer = "";
  for await (const chunk of socket) {
    const ready = /Z\0\0\0\x05[ITE]$/s;
    const text = (chunk as Buffer).toString("latin1");
    const wasStarting = !ready.test(answer);
    answer += text;
    if (!ready.test(answer)) continue;
    if (!wasStarting || socket.bytesWritten > startup.length + 4) break;
    answer = "";
    socket.write(Buffer.concat([Buffer.from("Q"), int(question.length + 4), question]));
  }
  return answer;
}

describe.runIf(has("postgres"))("a PostgreSQL server", () => {
  it("starts, answers, and keeps committed rows through SIGKILL and restart", async () => {
    const server = kept(await startPostgres({ settings: { application_name: "probe" } }));
    expect(await probePostgres({ host, port: server.port })).toBe(true);
    expect(await query(server.port, "SHOW fsync")).toContain("on");
    expect(await query(server.port, "SHOW application_name")).toContain("probe");
    await query(server.port, "CREATE TABLE kept AS SELECT 'still here' AS text");
    const { pid } = server;
    await server.kill("SIGKILL");
    expect(isAlive(pid)).toBe(false);
    expect(await probePostgres({ host, port: server.port })).toBe(false);
    await server.restart();
    expect(server.pid).not.toBe(pid);
    expect(await query(server.port, "TABLE kept")).toContain("still here");
    await expectGone(server);
  });

  it("listens on 127.0.0.1 only", async () => {
    const server = kept(await startPostgres());
    expect(await query(server.port, "SHOW listen_addresses")).toContain(host);
    expect(await query(server.port, "SHOW unix_socket_directories")).not.toContain("/");
  });

  it("says why it does not start, and leaves nothing", async () => {
    await expect(startPostgres({ settings: { no_such_setting: "1" } })).rejects.toThrow("no_such_setting");
  });
});

describe.runIf(has("redis"))("a Redis server", () => {
  it("starts, answers, comes back empty after SIGKILL, and stops", async () => {
    const server = kept(await startRedis());
    expect(await probeRedis({ host, port: server.port })).toBe(true);
    expect(await redis(server.port, "SET gone 1")).toBe("+OK\r\n");
    await server.kill();
    expect(await probeRedis({ host, port: server.port })).toBe(false);
    await server.restart();
    expect(await redis(server.port, "GET gone")).toBe("$-1\r\n");
    expect(await redis(server.port, "CONFIG GET maxmemory-policy")).toContain("noeviction");
    await expectGone(server);
  });

  it("keeps its data where the settings say so, in a folder that the caller names", async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "saga-redis-data-"));
    const settings = { appendonly: "yes", appendfsync: "always" };
    const first = kept(await startRedis({ dataDir, settings }));
    await redis(first.port, "SET kept 1");
    await first.kill();
    await first.restart();
    expect(await redis(first.port, "GET kept")).toBe("$1\r\n1\r\n");
    await first.stop();
    const second = kept(await startRedis({ dataDir, settings }));
    expect(await redis(second.port, "GET kept")).toBe("$1\r\n1\r\n");
    await second.stop();
    await rm(dataDir, { recursive: true });
  });

  it("goes silent at SIGSTOP and answers again after SIGCONT; it can be stopped while silent", async () => {
    const server = kept(await startRedis());
    await server.kill("SIGSTOP");
    const answer = redis(server.port, "PING");
    expect(await Promise.race([answer, silence()])).toBe("silent");
    await server.kill("SIGCONT");
    expect(await answer).toBe("+PONG\r\n");
    await server.kill("SIGSTOP");
    await expectGone(server);
  });
});

describe.runIf(has("kafka"))("a Kafka broker", () => {
  const answers = (server: KafkaServer) => probeKafka({ host, port: server.port });

  it("starts, answers, comes back after SIGKILL as the same broker on the same port, and stops", async () => {
    const server = kept(await startKafka());
    expect(server.brokers).toEqual([`${host}:${server.port}`]);
    expect(await answers(server)).toBe(true);
    const identity = await readFile(join(server.dataDir, "meta.properties"), "utf8");
    const { pid } = server;
    await server.kill("SIGKILL");
    expect(isAlive(pid)).toBe(false);
    expect(await answers(server)).toBe(false);
    await server.restart();
    expect(await answers(server)).toBe(true);
    expect(await readFile(join(server.dataDir, "meta.properties"), "utf8")).toBe(identity);
    expect(existsSync(join(server.dataDir, "__cluster_metadata-0"))).toBe(true);
    await expectGone(server);
  });

  it("keeps a topic and its record through SIGKILL and restart", async () => {
    const server = kept(await startKafka({ properties: { "auto.create.topics.enable": "true" } }));
    await vi.waitFor(async () => expect(await produce(server.port, "kept-topic", "kept-record")).toBe(0), { timeout: 10_000 });
    await server.kill("SIGKILL");
    await server.restart();
    const segment = join(server.dataDir, "kept-topic-0", "00000000000000000000.log");
    expect(await readFile(segment, "latin1")).toContain("kept-record");
    await vi.waitFor(async () => expect(await produce(server.port, "kept-topic", "another")).toBe(0), { timeout: 10_000 });
  });

  it("runs beside another one, and behind a proxy", async () => {
    const advertisedPort = await freePort();
    const servers = await Promise.all([startKafka(), startKafka({ advertisedPort })]);
    const [one, other] = servers.map(kept) as [KafkaServer, KafkaServer];
    expect(await Promise.all([answers(one), answers(other)])).toEqual([true, true]);
    expect(other.brokers).toEqual([`${host}:${advertisedPort}`]);
    const proxy = kept(await startTcpProxy({ port: advertisedPort, target: { port: other.port } }));
    expect(await probeKafka({ host, port: proxy.port })).toBe(true);
  });
});

describe.runIf(has("redis"))("a TCP proxy", () => {
  it("passes, delays, stalls, refuses and resets", async () => {
    const server = kept(await startRedis());
    const proxy = kept(await startTcpProxy({ target: { port: server.port } }));
    const ping = () => redis(proxy.port, "PING").catch((error: NodeJS.ErrnoException) => error.code);
    expect(await ping()).toBe("+PONG\r\n");

    proxy.latency(60);
    const before = performance.now();
    expect(await ping()).toBe("+PONG\r\n");
    expect(performance.now() - before).toBeGreaterThanOrEqual(119);
    proxy.latency(0);

    proxy.stall();
    const held = ping();
    expect(await Promise.race([held, silence()])).toBe("silent");
    await proxy.resume();
    expect(await held).toBe("+PONG\r\n");

    proxy.stall();
    const cut = ping();
    await silence();
    proxy.reset();
    expect(await cut).toBe("ECONNRESET");
    await proxy.resume();
    expect(await ping()).toBe("+PONG\r\n");

    await proxy.refuse();
    expect(await ping()).toBe("ECONNREFUSED");
    await proxy.resume();
    expect(await ping()).toBe("+PONG\r\n");
  });

  it("loses and reorders nothing of a large transfer", async () => {
    const server = kept(await startRedis());
    const proxy = kept(await startTcpProxy({ target: { port: server.port } }));
    proxy.latency(5);
    const value = Array.from({ length: 700_000 }, (_, index) => index).join(" ");
    expect(await talk(proxy.port, `*3\r\n$3\r\nSET\r\n$1\r\na\r\n$${value.length}\r\n${value}\r\n`, "\r\n")).toBe("+OK\r\n");
    const answer = await talk(proxy.port, "GET a\r\n", `${value.slice(-20)}\r\n`);
    expect(answer === `$${value.length}\r\n${value}\r\n`).toBe(true);
  });
});

describe("the servers together", () => {
  it("takes those that the environment names, and starts nothing for them", async () => {
    const servers = await ensureServers({ SAGA_PG_URL: "postgres://a/b", SAGA_REDIS_URL: "redis://c", SAGA_KAFKA_BROKERS: "d:1,e:2" });
    expect(servers).toMatchObject({ postgresUrl: "postgres://a/b", redisUrl: "redis://c", kafkaBrokers: ["d:1", "e:2"], started: [] });
    await servers.stop();
  });

  it.runIf(has("redis"))("starts the rest", async () => {
    const servers = kept(await ensureServers({ SAGA_PG_URL: "postgres://a/b", SAGA_KAFKA_BROKERS: "d:1" }));
    expect(servers.started).toEqual(["redis"]);
    expect(await probeRedis({ host, port: Number(new URL(servers.redisUrl).port) })).toBe(true);
  });

  it("are there for every test of this run, or say why not", async () => {
    const reasons = inject("servers");
    const [postgres, redisUrl, kafka] = [realServer("postgres"), realServer("redis"), realServer("kafka")];
    expect([postgres === null, redisUrl === null, kafka === null]).toEqual([
      reasons.postgres !== null,
      reasons.redis !== null,
      reasons.kafka !== null,
    ]);
    const at = (address: string) => ({ host: new URL(address).hostname, port: Number(new URL(address).port) });
    if (postgres !== null) expect(await probePostgres(at(postgres))).toBe(true);
    if (redisUrl !== null) expect(await probeRedis(at(redisUrl))).toBe(true);
    if (kafka !== null) expect(await probeKafka(at(`tcp://${kafka[0]}`))).toBe(true);
  });
});

describe.runIf(has("postgres") && has("redis"))("a process that started servers", () => {
  const start = async (): Promise<{ parent: ChildProcess; pids: number[]; folders: string[] }> => {
    const parent = spawn(process.execPath, [fileURLToPath(new URL("./parent.main.ts", import.meta.url))], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    if (parent.stdout === null) throw new Error("no output");
    const [line] = (await once(createInterface({ input: parent.stdout }), "line")) as [string];
    return { parent, ...(JSON.parse(line) as { pids: number[]; folders: string[] }) };
  };

  it.each([
    ["SIGKILL", "SIGKILL"],
    ["SIGTERM", "SIGTERM"],
    ["SIGINT", "SIGINT"],
    ["process.exit", "SIGUSR2"],
  ] as const)("leaves none behind when it ends by %s", async (_how, signal) => {
    const { parent, pids, folders } = await start();
    expect(pids.map(isAlive)).toEqual([true, true]);
    parent.kill(signal);
    await vi.waitFor(
      () => expect([...pids.map(isAlive), ...folders.map((folder) => existsSync(folder))]).toEqual([false, false, false, false]),
      {
        timeout: 10_000,
        interval: 50,
      },
    );
  });
});

const SILENCE_MS = 150;
const silence = () => new Promise<string>((resolve) => setTimeout(() => resolve("silent"), SILENCE_MS));

/** One record with Produce version 3, acks all. Resolves with the error code. */
async function produce(port: number, topic: string, value: string): Promise<number> {
  await metadata(port, topic);
  const answer = await kafkaCall(
    port,
    Buffer.concat([
      int16(0),
      int16(3),
      int32(1),
      int16(-1),
      int16(-1),
      int16(-1),
      int32(5_000),
      int32(1),
      text(topic),
      int32(1),
      int32(0),
      batch(value),
    ]),
  );
  // correlation id, topics, name, partitions, partition index
  return answer.readInt16BE(4 + 4 + 2 + topic.length + 4 + 4);
}

/** Metadata version 1 of a topic makes the broker create it. */
const metadata = (port: number, topic: string) =>
  kafkaCall(port, Buffer.concat([int16(3), int16(1), int32(1), int16(-1), int32(1), text(topic)]));

const int16 = (value: number) => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const text = (value: string) => Buffer.concat([int16(value.length), Buffer.from(value)]);

function batch(value: string): Buffer {
  const body = Buffer.concat([Buffer.from([0, 0, 0, 1, value.length * 2]), Buffer.from(value), Buffer.from([0])]);
  const record = Buffer.concat([Buffer.from([body.length * 2]), body]);
  const none = Buffer.alloc(14, 0xff);
  const checked = Buffer.concat([int16(0), int32(0), Buffer.alloc(16), none, int32(1), record]);
  const rest = Buffer.concat([int32(-1), Buffer.from([2]), int32(crc32c(checked) | 0), checked]);
  const records = Buffer.concat([Buffer.alloc(8), int32(rest.length), rest]);
  return Buffer.concat([int32(records.length), records]);
}

function crc32c(bytes: Buffer): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc;
}

async function kafkaCall(port: number, request: Buffer): Promise<Buffer> {
  const socket = connect(port, host);
  socket.write(Buffer.concat([int32(request.length), request]));
  let answer = Buffer.alloc(0);
  for await (const chunk of socket) {
    answer = Buffer.concat([answer, chunk as Buffer]);
    if (answer.length >= 4 && answer.length >= 4 + answer.readInt32BE(0)) return answer.subarray(4);
  }
  throw new Error("the broker hung up");
}
