/**
 * A process that works while it holds a lease, says with which fence it starts and when it stops, and never ends by itself:
 * `node lease.main.ts <url> <schema> <name> <ttl in ms>`.
 */
import { Lease, Worker } from "@org/saga-core";
import { Effect, Layer } from "effect";
import * as PgClient from "../src/PgClient.ts";
import * as PgLock from "../src/PgLock.ts";

const [url = "", schema = "", name = "", ttl = ""] = process.argv.slice(2);

const say = (line: string): Effect.Effect<void> => Effect.sync(() => void process.stdout.write(`${line}\n`));

const work = Lease.underLease(name, Number(ttl), ({ fence }) =>
  say(`runs ${fence}`).pipe(Effect.andThen(Effect.never), Effect.ensuring(say("stops"))),
);

await Effect.runPromise(
  Worker.forever("lease", work).pipe(Effect.provide(PgLock.layer.pipe(Layer.provide(PgClient.layer({ url, schema, poolSize: 2 }))))),
);
