/**
 * What is kept of each released version, in a folder of its name: `dump.sql` (schema and data as that version made them),
 * `expected.json` (what its services found in them), `checksums.json` (its migration files).
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";

const HERE = new URL("./", import.meta.url);
const MIGRATIONS = new URL("../../migrations/", import.meta.url);

export const DUMP = "dump.sql";
export const EXPECTED = "expected.json";
export const CHECKSUMS = "checksums.json";

/** `1.2.3`, also with a label: `1.2.3-rc.1`. */
export const VERSION = /^\d+\.\d+\.\d+(-[0-9a-z.]+)?$/;

export const folderOf = (version: string): URL => new URL(`${version}/`, HERE);

export const versions = async (): Promise<ReadonlyArray<string>> =>
  (await readdir(HERE, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory() && VERSION.test(entry.name))
    .map((entry) => entry.name)
    .toSorted((left, right) => left.localeCompare(right, "en", { numeric: true }));

export const read = (version: string, file: string): Promise<string> => readFile(new URL(file, folderOf(version)), "utf8");

/** SHA-256 of every migration file of the package. A checkout with other line ends is the same migration. */
export const checksums = async (): Promise<Readonly<Record<string, string>>> => {
  const files = (await readdir(MIGRATIONS)).filter((file) => file.endsWith(".sql")).toSorted();
  const sums = files.map(async (file) => {
    const text = await readFile(new URL(file, MIGRATIONS), "utf8");
    return [file, createHash("sha256").update(text.replaceAll("\r\n", "\n")).digest("hex")] as const;
  });
  return Object.fromEntries(await Promise.all(sums));
};

/** Of the package, between releases. */
export const UNRELEASED = "0.0.0";

export const packageVersion = async (): Promise<string> => {
  const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  const { version }: { readonly version: string } = JSON.parse(text);
  return version;
};
