/**
 * A PostgreSQL server of one's own. Superuser `postgres`, trust authentication, 127.0.0.1 only, UTF8 and C locale; durable as by
 * default (fsync on), so that measurements mean something.
 */
import { existsSync, realpathSync } from "node:fs";
import { chown, mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HOST, freePort } from "./Port.ts";
import { findPrograms, isExecutable, run } from "./Programs.ts";
import { type Server, serverOf } from "./Server.ts";
import { ServerProcess } from "./ServerProcess.ts";
import { type Owner, makeWorkFolder } from "./WorkFolder.ts";

export interface PostgresOptions {
  readonly port?: number | undefined;
  /** Kept by `stop()`, and used again if it has a database cluster. Default: a temporary folder. */
  readonly dataDir?: string | undefined;
  /** Settings of postgresql.conf, for instance `{ wal_level: "logical" }`. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** Begins as a copy of this server, follows it until it is promoted, and is `application_name` there. `settings` must fit its own. */
  readonly standbyOf?: { readonly server: Pick<PostgresServer, "port">; readonly name: string } | undefined;
}

export interface PostgresServer extends Server {
  readonly url: string;
  readonly dataDir: string;
}

const BIN_FOLDERS = [
  "/usr/lib/postgresql/*/bin",
  "/usr/pgsql-*/bin",
  "/opt/homebrew/opt/postgresql@*/bin",
  "/usr/local/opt/postgresql@*/bin",
  "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/** Enough for several test workers with a pool each. */
const MAX_CONNECTIONS = "200";

/** After a crash the old shared memory may live on until its last process has noticed. */
const RESTART_TRIES_MAX = 50;
const RESTART_PAUSE_MS = 100;

/** The folder with `initdb` and `postgres`. Distributions put `psql` on the PATH, and the server often not. */
export function findPostgres(): string | undefined {
  return findPrograms("initdb", BIN_FOLDERS)
    .map((file) => dirname(realpathSync(file)))
    .find((folder) => isExecutable(join(folder, "postgres")));
}

export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const bin = findPostgres();
  if (bin === undefined) throw new Error("PostgreSQL's server (initdb, postgres) was not found");
  const owner = await serverUser();
  const port = options.port ?? (await freePort());
  const folder = await makeWorkFolder("postgres", owner);
  const dataDir = options.dataDir === undefined ? join(folder.path, "data") : resolve(options.dataDir);
  const settings = {
    listen_addresses: HOST,
    port: String(port),
    unix_socket_directories: "",
    max_connections: MAX_CONNECTIONS,
    ...options.settings,
  };
  const server = new ServerProcess({
    name: "PostgreSQL",
    command: join(bin, "postgres"),
    args: ["-D", dataDir, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
    folder: folder.path,
    owner,
    ready: `database system is ready to accept ${options.standbyOf === undefined ? "" : "read-only "}connections`,
    stopSignal: "SIGINT",
    quickSignal: "SIGQUIT",
  });
  try {
    if (!existsSync(join(dataDir, "PG_VERSION"))) {
      await mkdir(dataDir, { recursive: true, mode: 0o700 });
      if (owner !== undefined) await chown(dataDir, owner.uid, owner.gid);
      const [program, args] = options.standbyOf === undefined ? INITDB : basebackupOf(options.standbyOf);
      await run(join(bin, program), ["-D", dataDir, ...args], { cwd: folder.path, ...owner });
    }
    await startAgain(server);
  } catch (error) {
    await folder.remove();
    throw error;
  }
  return serverOf(
    { server, folder, port, keepsData: options.dataDir !== undefined, startAgain: () => startAgain(server) },
    { url: `postgres://postgres@${HOST}:${port}/postgres`, dataDir },
  );
}

const INITDB = ["initdb", ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]] as const;

const basebackupOf = ({ server, name }: NonNullable<PostgresOptions["standbyOf"]>) =>
  [
    "pg_basebackup",
    ["-R", "-X", "stream", "-c", "fast", "-d", `postgres://postgres@${HOST}:${server.port}/postgres?application_name=${name}`],
  ] as const;

async function startAgain(server: ServerProcess): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await server.start();
    } catch (error) {
      if (tries === RESTART_TRIES_MAX || !String(error).includes("pre-existing shared memory block")) throw error;
      await sleep(RESTART_PAUSE_MS);
    }
  }
}

/** PostgreSQL refuses to run as root: then it runs as the user it was installed with. */
async function serverUser(): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  for (const user of ["postgres", "nobody"]) {
    try {
      const [uid, gid] = await Promise.all([run("id", ["-u", user]), run("id", ["-g", user])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      // no such user
    }
  }
  throw new Error("PostgreSQL cannot run as root, and there is no user `postgres` or `nobody`");
}
