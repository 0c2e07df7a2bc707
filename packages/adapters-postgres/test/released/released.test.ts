/** Upgrades from every released version, on PGlite. */
import { afterAll, describe } from "vitest";
import * as PgClient from "../../src/PgClient.ts";
import * as Embedded from "../Embedded.ts";
import { SCHEMA } from "./Sample.ts";
import * as Upgrades from "./Upgrades.ts";

const embedded = await Embedded.start();
const { instance } = embedded;

afterAll(embedded.close);

describe("upgrades on PGlite", () => {
  Upgrades.run(() => ({
    execute: (text) => instance.exec(text),
    lines: async (text, values) => (await instance.query<{ readonly line: string }>(text, [...values])).rows,
    client: PgClient.layerPglite(instance, SCHEMA),
  }));
});
