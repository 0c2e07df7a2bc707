/**
 * Migrations as files: `<number>_<name>.up.sql` and `.down.sql`, four digits. Those of this package are in its folder
 * `migrations/`; users may have folders of their own, whose migrations are known as `app/<number>_<name>`, so the two never
 * have the same name.
 *
 * In a file `:"schema"` is the schema of the service, in psql's notation. Written `:"schema".name` it is a table, and
 * carries the table prefix as well.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Effect, Schema } from "effect";

export interface Migration {
  /** `0001_initial`; a user's own `app/0001_initial`. */
  readonly name: string;
  /** SQL, with `:"schema"` for the schema. */
  readonly up: string;
  readonly down: string;
  /** SHA-256 of `up`. */
  readonly checksum: string;
}

/** Where users' own migrations are. A path is relative to the working directory. */
export type MigrationFolder = string | URL;

export class PgMigrationError extends Schema.TaggedError<PgMigrationError>()("PgMigrationError", {
  problem: Schema.Literals(["Changed", "Unknown", "Unreadable", "Misnamed", "Empty", "EndsTransaction", "Failed"]),
  migration: Schema.String,
  message: Schema.String,
}) {}

/** Of the names of users' own migrations. */
const OWN_PREFIX = "app/";

export const isUsersOwn = (name: string): boolean => name.startsWith(OWN_PREFIX);

/** The same path from the source and from the built package. */
const PACKAGE_FOLDER = new URL("../migrations/", import.meta.url);

/** All migrations of this package, in order. */
export const load: Effect.Effect<ReadonlyArray<Migration>, PgMigrationError> = Effect.suspend(() => read(PACKAGE_FOLDER, ""));

/** Those of this package, then those of users' folders, each in the order of their numbers. */
export const loadAll = Effect.fnUntraced(function* (
  folders: ReadonlyArray<MigrationFolder>,
): Effect.fn.Return<ReadonlyArray<Migration>, PgMigrationError> {
  const users = (yield* Effect.forEach(folders, (folder) => read(folder, OWN_PREFIX))).flat().toSorted(byName);
  const twice = users.find((migration, index) => migration.name === users[index + 1]?.name);
  if (twice !== undefined) return yield* misnamed(twice.name, "two folders have a migration of this name: rename one");
  return [...(yield* load), ...users];
});

/** Makes the next pair of files in a folder, and the folder where it is missing. The paths of the files. */
export const create = Effect.fn("PgMigrations.create")(function* (
  folder: MigrationFolder,
  name: string,
): Effect.fn.Return<{ readonly name: string; readonly files: ReadonlyArray<string> }, PgMigrationError> {
  if (!NEW_NAME.test(name)) {
    return yield* misnamed(
      name,
      `a name has lower-case letters, digits and _, at most ${NAME_MAX}, and begins with a letter: add_customers`,
    );
  }
  const path = pathOf(folder);
  yield* attempt(path, "made", () => mkdir(path, { recursive: true }));
  const last = Math.max(0, ...(yield* namesIn(folder)).map((known) => Number(known.slice(0, DIGITS))));
  if (last >= NUMBER_MAX) return yield* misnamed(name, `${NUMBER_MAX} is the last number`);
  const numbered = `${String(last + 1).padStart(DIGITS, "0")}_${name}`;
  const files = [join(path, `${numbered}.up.sql`), join(path, `${numbered}.down.sql`)] as const;
  yield* attempt(path, "written", async () => {
    await writeFile(files[0], upHeader(numbered), { flag: "wx" });
    await writeFile(files[1], downHeader(numbered), { flag: "wx" });
  });
  return { name: `${OWN_PREFIX}${numbered}`, files };
});

/** Comments, blanks and semicolons alone are a template that nobody filled in yet. */
export const isEmpty = ({ up }: Migration): boolean => /^[\s;]*$/.test(up.replaceAll(COMMENT, ""));

/** In text that is quoted it is none; but then something stands before the quote. */
const COMMENT = /--[^\n]*|\/\*[\s\S]*?\*\//g;

const DIGITS = 4;
const NUMBER_MAX = 9_999;
/** A file's name stays well within the 255 bytes of file systems. */
const NAME_MAX = 100;
const NEW_NAME = new RegExp(`^[a-z][a-z0-9_]{0,${NAME_MAX - 1}}$`);

const upHeader = (name: string): string => `-- ${name}: say here what it changes, and why.
--
-- :"schema" is the schema of the service, as in psql. Write :"schema".orders for a table, yours or the library's: a table
-- prefix is put in as well. It runs in one transaction with all that is pending. Once applied it is never edited: add a new one.
--
-- create table :"schema".example (id text primary key, order_id text not null);
-- create index example_order_idx on :"schema".example (order_id);
`;

const downHeader = (name: string): string => `-- Takes ${name} back.
--
-- drop table :"schema".example;
`;

const FILE = /^(\d{4}_[a-z0-9_]+)\.(up|down)\.sql$/;

const pathOf = (folder: MigrationFolder): string => (typeof folder === "string" ? folder : fileURLToPath(folder));

/** The names of the migrations in a folder, in order. Each has both files, and a number of its own. */
const namesIn = Effect.fnUntraced(function* (folder: MigrationFolder): Effect.fn.Return<ReadonlyArray<string>, PgMigrationError> {
  const path = pathOf(folder);
  const files = (yield* attempt(path, "read", () => readdir(path))).filter((file) => file.endsWith(".sql")).toSorted();
  const known = new Set(files);
  const names = new Set<string>();
  for (const file of files) {
    const [, name = "", way] = FILE.exec(file) ?? [];
    if (name === "") return yield* misnamed(file, "a migration's files are called 0001_name.up.sql and 0001_name.down.sql");
    const other = `${name}.${way === "up" ? "down" : "up"}.sql`;
    if (!known.has(other)) return yield* misnamed(file, `there is no ${other} beside it`);
    names.add(name);
  }
  const ordered = [...names];
  const twice = ordered.find((name, index) => name.slice(0, DIGITS) === ordered[index + 1]?.slice(0, DIGITS));
  if (twice !== undefined) return yield* misnamed(twice, "another migration has this number: give the newer one the next free number");
  return ordered;
});

const read = Effect.fnUntraced(function* (
  folder: MigrationFolder,
  prefix: string,
): Effect.fn.Return<ReadonlyArray<Migration>, PgMigrationError> {
  const path = pathOf(folder);
  const text = (file: string) => attempt(path, "read", () => readFile(join(path, file), "utf8"));
  return yield* Effect.forEach(yield* namesIn(folder), (name) =>
    Effect.map(Effect.all([text(`${name}.up.sql`), text(`${name}.down.sql`)]), ([up, down]): Migration => {
      // A checkout with other line ends is the same migration.
      const checksum = createHash("sha256").update(up.replaceAll("\r\n", "\n")).digest("hex");
      return { name: `${prefix}${name}`, up, down, checksum };
    }),
  );
});

const byName = (left: Migration, right: Migration): number => (left.name < right.name ? -1 : 1);

const misnamed = (migration: string, why: string): Effect.Effect<never, PgMigrationError> =>
  Effect.fail(new PgMigrationError({ problem: "Misnamed", migration, message: `migration ${migration}: ${why}` }));

const attempt = <A>(path: string, done: string, run: () => Promise<A>): Effect.Effect<A, PgMigrationError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => {
      const detail = cause instanceof Error ? cause.message : "unknown error";
      return new PgMigrationError({ problem: "Unreadable", migration: "", message: `migrations in ${path} cannot be ${done}: ${detail}` });
    },
  });
