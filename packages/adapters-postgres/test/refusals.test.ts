/** What is refused before it is sent, on the embedded database. */
import { ManagedRuntime } from "effect";
import { afterAll, beforeAll, describe } from "vitest";
import type * as PgClient from "../src/PgClient.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Embedded from "./Embedded.ts";
import { refusals } from "./Refusals.ts";

describe("the embedded database", () => {
  let embedded: Embedded.Embedded;
  let runtime: ManagedRuntime.ManagedRuntime<PgStores.PgStores | PgClient.PgClient, unknown>;
  beforeAll(async () => {
    embedded = await Embedded.start();
    runtime = ManagedRuntime.make(PgStores.layerPglite(embedded.instance, "refusals"));
    await runtime.context();
  }, Embedded.START_TIMEOUT_MS);
  afterAll(async () => {
    await runtime.dispose();
    await embedded.close();
  });

  refusals(() => runtime);
});
