/** The tests of an upgrade, on whatever database: each release's record is restored, migrated to the newest, and used. */
import { Effect, Layer } from "effect";
import { afterEach, describe, expect, it } from "vitest";
import type { PgClient } from "../../src/PgClient.ts";
import * as PgMigrations from "../../src/PgMigrations.ts";
import * as PgStock from "../../src/PgStock.ts";
import * as PgStores from "../../src/PgStores.ts";
import * as Catalog from "../Catalog.ts";
import { observe } from "./Observe.ts";
import * as Release from "./Release.ts";
import { SCHEMA } from "./Sample.ts";

export interface Target {
  /** Several statements. */
  readonly execute: (text: string) => Promise<unknown>;
  readonly lines: (text: string, values: ReadonlyArray<string>) => Promise<ReadonlyArray<{ readonly line: string }>>;
  readonly client: Layer.Layer<PgClient, unknown>;
}

const names = (await Effect.runPromise(PgMigrations.load)).map((migration) => migration.name);
const versions = await Release.versions();

const services = PgStores.layerClient.pipe(Layer.provideMerge(PgStock.layer));

export const run = (target: () => Target): void => {
  const use = <A>(effect: Effect.Effect<A, unknown, PgClient>): Promise<A> => Effect.runPromise(Effect.provide(effect, target().client));

  it("know every release: the version that is about to be one is recorded", async () => {
    expect(versions).toContain("0.1.0");
    expect([Release.UNRELEASED, ...versions]).toContain(await Release.packageVersion());
  });

  describe.each(versions)("from %s", (version) => {
    afterEach(async () => {
      await target().execute(`drop schema if exists ${SCHEMA} cascade`);
    });

    const restored = async (): Promise<ReadonlyArray<string>> => {
      await target().execute(await Release.read(version, Release.DUMP));
      const states = await use(PgMigrations.status());
      return states.filter(({ state }) => state === "applied").map(({ name }) => name);
    };

    const expected = async () => JSON.parse(await Release.read(version, Release.EXPECTED)) as object;

    const schemaText = async (): Promise<string> => {
      const rows = await target().lines(Catalog.DESCRIBE, [SCHEMA]);
      return `${rows.map((row) => row.line).join("\n")}\n`;
    };

    it("end in the golden schema", async () => {
      const applied = await restored();
      const released = Object.keys(JSON.parse(await Release.read(version, Release.CHECKSUMS)) as object);
      expect(applied.map((name) => `${name}.up.sql`)).toEqual(released.filter((file) => file.endsWith(".up.sql")));
      expect(await use(PgMigrations.up())).toEqual(names.slice(applied.length));
      await expect(await schemaText()).toMatchFileSnapshot("../golden/schema.txt");
    });

    it("lose nothing: what was pending is published in order, what was due is due, holds live, duplicates are known", async () => {
      await restored();
      const seen = await use(Effect.provide(observe, services.pipe(Layer.provide(PgMigrations.layer))));
      expect(seen).toMatchObject(await expected());
    });

    it("can be taken back to what was released, and done again, and nothing is lost by it", async () => {
      const applied = await restored();
      const before = await schemaText();
      const added = await use(PgMigrations.up());
      // json holds what jsonb does not.
      const note = `insert into ${SCHEMA}.documents (kind, id, revision, state) values ('note', 'nul', 1, '{"text": "a\\u0000b"}') returning id as line`;
      await target().lines(note, []);
      expect(await use(PgMigrations.down(added.length))).toEqual(added.toReversed());
      expect(await schemaText()).toBe(before);
      const kept = await target().lines(`select state ->> 'text' as line from ${SCHEMA}.documents where id = $1`, ["nul"]);
      expect(kept).toEqual([{ line: "a\uFFFDb" }]);
      expect(await use(PgMigrations.up())).toEqual(names.slice(applied.length));
      expect(await use(Effect.provide(observe, services))).toMatchObject(await expected());
    });

    it("never edit what was released", async () => {
      expect(await Release.checksums()).toMatchObject(JSON.parse(await Release.read(version, Release.CHECKSUMS)) as object);
    });
  });
};
