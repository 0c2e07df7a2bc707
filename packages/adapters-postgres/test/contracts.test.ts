/** Every store keeps its contract on the embedded PGlite; here with a table prefix, on the server (`.int`) without. */
import { ManagedRuntime } from "effect";
import { afterAll, beforeAll } from "vitest";
import * as PgStores from "../src/PgStores.ts";
import * as Embedded from "./Embedded.ts";
import * as Suites from "./Suites.ts";

const embedded = await Embedded.start();
const runtime = ManagedRuntime.make(PgStores.layerPglite(embedded.instance, "contract", "app_"));

beforeAll(() => runtime.context());

afterAll(async () => {
  await runtime.dispose();
  await embedded.close();
});

Suites.run("one", (example) => runtime.runPromise(example));
