/** A process that migrates and says what it applied: `node migrate.main.ts <url> <schema>`. */
import { Effect } from "effect";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";

const [url = "", schema = ""] = process.argv.slice(2);
const applied = await Effect.runPromise(Effect.provide(PgMigrations.up(), PgClient.layer({ url, schema })));
process.stdout.write(JSON.stringify(applied));
