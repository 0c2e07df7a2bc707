/**
 * A process that charges, and never ends by itself: `node participant.main.ts <url> <schema> <id to charge, or nothing> <where it
 * hangs, or nothing>`.
 */
import { TimerPump, Worker } from "@org/saga-core";
import { Effect } from "effect";
import pg from "pg";
import * as PgStores from "../src/PgStores.ts";
import * as Charges from "./Charges.ts";

const [url = "", schema = "", id = "", hangsAt = ""] = process.argv.slice(2);

/** How long a timer that a killed process had claimed is hidden, in milliseconds. */
const LEASE_MS = 500;

const outside = new pg.Pool({ connectionString: url, max: 2 });

const program = Effect.gen(function* () {
  const participant = yield* Charges.make(outside, hangsAt);
  if (id !== "") yield* participant.handle([Charges.ask(id)]);
  return yield* Worker.forever(Charges.NAME, TimerPump.pass(Charges.NAME, participant.onTimers, LEASE_MS));
});

process.on("disconnect", () => process.exit(0));
Effect.runFork(Effect.scoped(program).pipe(Effect.provide(PgStores.layer({ url, schema })), Effect.tapCause(Effect.logError)));
