/** Every store keeps its contract on the embedded PGlite. */
import { PGlite } from "@electric-sql/pglite";
import { ManagedRuntime } from "effect";
import { afterAll, beforeAll } from "vitest";
import * as PgStores from "../src/PgStores.ts";
import * as Suites from "./Suites.ts";

/** PGlite unpacks and initializes a database of its own. */
const START_TIMEOUT_MS = 60_000;

const instance = new PGlite();
const runtime = ManagedRuntime.make(PgStores.layerPglite(instance, "contract"));

beforeAll(async () => {
  await runtime.context();
}, START_TIMEOUT_MS);

afterAll(async () => {
  await runtime.dispose();
  await instance.close();
});

Suites.run("one", (example) => runtime.runPromise(example));
