/** On PGlite; and the guide shows the code that runs here. */
import { readFileSync } from "node:fs";
import { PgStores } from "@org/saga-postgres";
import { Effect, ManagedRuntime } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as Embedded from "./Embedded.ts";
import * as OwnTables from "./OwnTables.ts";

const embedded = await Embedded.start();
const runtime = ManagedRuntime.make(PgStores.layerPglite(embedded.instance, OwnTables.SCHEMA, "", [OwnTables.MIGRATIONS]));

beforeAll(async () => {
  await runtime.context();
  await embedded.instance.exec(OwnTables.THIRTEEN);
});
afterAll(async () => {
  await runtime.dispose();
  await embedded.close();
});

describe("own tables on PGlite", () => {
  OwnTables.run("Pglite", (example) => runtime.runPromise(Effect.scoped(example)));
});

describe("the guide", () => {
  const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
  const regions = [...read("./docs/ownTables.ts").matchAll(/^\/\/ #region (\w+)\n([\s\S]*?)^\/\/ #endregion$/gm)];

  it("shows every part of ownTables.ts as it is, and no other code", () => {
    const guide = read("../../../docs/guides/own-tables.md");
    const shown = [...guide.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code);
    expect(regions.map(([, name]) => name)).toEqual(["aggregate", "drizzle", "plain", "native", "mailbox", "alone"]);
    expect(shown).toEqual(regions.map(([, , code]) => code));
    expect(guide).toContain(`-- app/migrations/0001_bank.up.sql\n${read("./docs/migrations/0001_bank.up.sql")}`);
  });
});
