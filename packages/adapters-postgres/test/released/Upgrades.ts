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
      const notes = { nul: "a\u0000b", high: "a\uD800b", low: "a\uD83D\uDE00\uDE00b", slash: String.raw`\u0000 \\\ud800` };
      for (const [id, text] of Object.entries(notes)) {
        const note = `insert into ${SCHEMA}.documents (kind, id, revision, state) values ('note', $1, 1, $2::json) returning id as line`;
        await target().lines(note, [id, JSON.stringify({ text, [text]: 1 })]);
        const hold = `insert into ${SCHEMA}.stock_holds (order_id, status, lines, until, reserved_at, changed_at)
          values ($1, 'shipped', $2::json, now(), now(), now()) returning order_id as line`;
        await target().lines(hold, [id, JSON.stringify([text])]);
      }
      expect(await use(PgMigrations.down(added.length))).toEqual(added.toReversed());
      expect(await schemaText()).toBe(before);
      const kept = await target().lines(`select state ->> 'text' as line from ${SCHEMA}.documents where kind = $1 order by id`, ["note"]);
      expect(kept).toEqual(["a\uFFFDb", "a\u{1F600}\uFFFDb", "a\uFFFDb", notes.slash].map((line) => ({ line })));
      expect(await use(PgMigrations.up())).toEqual(names.slice(applied.length));
      expect(await use(Effect.provide(observe, services))).toMatchObject(await expected());
    });

    it("are not taken back while that would lose what is nowhere else, and nothing is changed then", async () => {
      await restored();
      const added = await use(PgMigrations.up());
      const before = await schemaText();
      const refused = async (message: string) => {
        const error = await use(Effect.flip(PgMigrations.down(added.length)));
        expect(String(error)).toContain(message);
        expect(await schemaText()).toBe(before);
      };
      await target().execute(
        `update ${SCHEMA}.stock_skus set elsewhere = '[{"warehouse":"north","onHand":3,"held":0,"committed":0,"shortage":0}]'`,
      );
      await refused("goods are in warehouses beside the default one");
      await target().execute(
        `update ${SCHEMA}.stock_skus set elsewhere = '[{"warehouse":"north","onHand":0,"held":0,"committed":0,"shortage":0}]'`,
      );
      await target().execute(
        `insert into ${SCHEMA}.inbox_queue (consumer, message_id, shard, lane, topic, partition_no, offset_no, type, key, record) values ('c', 'm', 0, 0, 't', 0, 0, 'x', 'k', '{}')`,
      );
      await refused("messages are stored that were not handled");
      await target().execute(`delete from ${SCHEMA}.inbox_queue`);
      await use(PgMigrations.down(added.length));
    });

    it("taken back and done again, do not bring back what a person discarded", async () => {
      await restored();
      const added = await use(PgMigrations.up());
      await target().execute(`update ${SCHEMA}.outbox set parked_as = 'discarded' where parked_at is not null`);
      await use(PgMigrations.down(added.length));
      await use(PgMigrations.up());
      expect(
        await target().lines(`select id::text as line from ${SCHEMA}.outbox where parked_at is not null and shard <> $1`, ["-1"]),
      ).toEqual([]);
    });

    it("never edit what was released", async () => {
      expect(await Release.checksums()).toMatchObject(JSON.parse(await Release.read(version, Release.CHECKSUMS)) as object);
    });
  });
};
