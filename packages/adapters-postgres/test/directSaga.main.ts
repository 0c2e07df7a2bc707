/**
 * A process that runs sagas and pumps their timers, and never ends by itself:
 * `node directSaga.main.ts <url> <schema> <ids, by commas> <where it hangs> <"refuses", or nothing>`.
 */
import { TimerPump } from "@org/saga-core";
import { Effect, Layer } from "effect";
import pg from "pg";
import * as PgStores from "../src/PgStores.ts";
import * as Trip from "./Trip.ts";

const [url = "", schema = "", ids = "", hangsAt = "", refuses = ""] = process.argv.slice(2);

/** How long a timer that a killed process had claimed is hidden, in milliseconds. */
const LEASE_MS = 1_000;

const outside = new pg.Pool({ connectionString: url, max: 4 });

const program = Effect.gen(function* () {
  const trips = yield* Trip.make(outside, { hangsAt, refuses: refuses !== "" });
  const begin = Effect.forEach(
    ids.split(",").filter((id) => id !== ""),
    (id) => trips.run(id, { id, seat: null }),
    { concurrency: "unbounded" },
  );
  yield* Effect.all([begin, Layer.launch(TimerPump.layer(Trip.NAME, trips.onTimers, LEASE_MS))], { concurrency: "unbounded" });
});

process.on("disconnect", () => process.exit(0));
Effect.runFork(Effect.scoped(program).pipe(Effect.provide(PgStores.layer({ url, schema })), Effect.tapCause(Effect.logError)));
