/** Every store keeps its contract on the embedded PGlite. */
import { ManagedRuntime } from "effect";
import { afterAll, beforeAll } from "vitest";
import * as PgStores from "../src/PgStores.ts";
import * as Embedded from "./Embedded.ts";
import * as Suites from "./Suites.ts";

const embedded = await Embedded.start();
const runtime = ManagedRuntime.make(PgStores.layerPglite(embedded.instance, "contract"));

beforeAll(() => runtime.context());

afterAll(async () => {
  await runtime.dispose();
  await embedded.close();
});

Suites.run("one", (example) => runtime.runPromise(example));
