/** A Redis (or Valkey) server of one's own: 127.0.0.1 only, noeviction, nothing persisted unless the settings say so. */
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { HOST, freePort } from "./Port.ts";
import { findPrograms } from "./Programs.ts";
import { type Server, serverOf, startOrRemove } from "./Server.ts";
import { ServerProcess } from "./ServerProcess.ts";
import { makeWorkFolder } from "./WorkFolder.ts";

export interface RedisOptions {
  readonly port?: number | undefined;
  /** Kept by `stop()`. Default: a temporary folder. */
  readonly dataDir?: string | undefined;
  /** Lines of redis.conf, for instance `{ appendonly: "yes", appendfsync: "everysec" }`. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

export interface RedisServer extends Server {
  readonly url: string;
}

const BIN_FOLDERS = ["/opt/homebrew/bin", "/usr/local/bin", "/opt/homebrew/opt/redis/bin", "/usr/local/opt/redis/bin"];

export function findRedis(): string | undefined {
  return findPrograms("redis-server", BIN_FOLDERS)[0] ?? findPrograms("valkey-server", BIN_FOLDERS)[0];
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const command = findRedis();
  if (command === undefined) throw new Error("redis-server was not found");
  const port = options.port ?? (await freePort());
  const folder = await makeWorkFolder("redis");
  const dataDir = options.dataDir === undefined ? folder.path : resolve(options.dataDir);
  await mkdir(dataDir, { recursive: true });
  const settings = {
    bind: HOST,
    port: String(port),
    dir: `"${dataDir}"`,
    save: '""',
    appendonly: "no",
    "maxmemory-policy": "noeviction",
    ...options.settings,
  };
  const config = join(folder.path, "redis.conf");
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${value === "" ? '""' : value}\n`);
  await writeFile(config, lines.join(""));
  const server = new ServerProcess({
    name: "Redis",
    command,
    args: [config],
    folder: folder.path,
    ready: "Ready to accept connections",
    stopSignal: "SIGTERM",
    quickSignal: "SIGKILL",
  });
  await startOrRemove({ server, folder });
  return serverOf({ server, folder, port, keepsData: options.dataDir !== undefined }, { url: `redis://${HOST}:${port}` });
}
