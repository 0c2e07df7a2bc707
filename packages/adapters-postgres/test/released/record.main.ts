/**
 * Records what a version leaves in a database, before it is released: `node --conditions=@org/source record.main.ts 1.2.3`.
 * A record is never made again: later versions have to upgrade from it. Needs `postgres` and `pg_dump` on the machine.
 */
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { startPostgres } from "@tools/servers";
import { Effect, Layer } from "effect";
import * as PgStock from "../../src/PgStock.ts";
import * as PgStores from "../../src/PgStores.ts";
import { observe } from "./Observe.ts";
import { CHECKSUMS, checksums, DUMP, EXPECTED, folderOf, VERSION, versions } from "./Release.ts";
import * as Sample from "./Sample.ts";

/** Statements that belong to the program that reads a dump, not to the data: settings and comments. */
const NOT_DATA = /^(--|SET |SELECT pg_catalog\.set_config|\\|$)/;

const dump = async (url: string): Promise<string> => {
  const args = ["--dbname", url, "--schema", Sample.SCHEMA, "--inserts", "--no-owner", "--no-privileges"];
  const { stdout } = await promisify(execFile)("pg_dump", args);
  return `${stdout
    .split("\n")
    .filter((line) => !NOT_DATA.test(line))
    .join("\n")}\n`;
};

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const record = async (version: string): Promise<void> => {
  const server = await startPostgres();
  try {
    const stores = PgStores.layer({ url: server.url, schema: Sample.SCHEMA });
    const services = Layer.provideMerge(PgStock.layer, stores);
    await Effect.runPromise(Effect.provide(Sample.write, services));
    const text = await dump(server.url);
    const expected = await Effect.runPromise(Effect.provide(observe, services));
    const folder = folderOf(version);
    await mkdir(folder);
    await writeFile(new URL(DUMP, folder), text);
    await writeFile(new URL(EXPECTED, folder), json(expected));
    await writeFile(new URL(CHECKSUMS, folder), json(await checksums()));
  } finally {
    await server.stop();
  }
};

const [version = ""] = process.argv.slice(2);
if (!VERSION.test(version)) throw new Error(`say which version is recorded, e.g. 1.2.3; not ${JSON.stringify(version)}`);
if ((await versions()).includes(version)) throw new Error(`${version} is recorded already, and a record is never made again`);
await record(version);
