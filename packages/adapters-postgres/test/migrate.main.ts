/**
 * A process that migrates and says what it applied: `node migrate.main.ts <url> <schema> [folder]`. The server soon ends its
 * transaction when it says nothing.
 */
import { Effect } from "effect";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";

const [url = "", schema = "", ...folders] = process.argv.slice(2);
const client = PgClient.layer({ url, schema, applicationName: "migrating", idleInTransactionTimeout: "1 second" });
const applied = await Effect.runPromise(Effect.provide(PgMigrations.up({ folders }), client));
process.stdout.write(JSON.stringify(applied));
