/**
 * `saga timers`: what an operator sees of the timers that wait, and how one is made to come earlier or later.
 *
 * - `list`: by due time, page by page.
 * - `reschedule`: another time for the timers of one instance. They keep their tokens, so their decisions know them; the
 *   running services fire them. One that is being fired at this moment is not held back.
 */
import { type Timer, Timers, Transaction, UnitOfWork } from "@org/saga-core";
import { PgClient, PgStores } from "@org/saga-postgres";
import { Effect, Option, Schema } from "effect";
import { Argument, Command, Flag } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

/** What fits on a few screens. */
const LIST_DEFAULT = 100;
/** One page in memory. */
const LIST_MAX = 10_000;

/** `--at` for the moment at which it is done, by the database's clock. */
const NOW = "now";

const owner = Flag.String("owner").pipe(Flag.withDescription("Whose timers: a saga or a participant, e.g. checkout"));

const list = Command.make(
  "list",
  {
    schemas: Flags.schemas,
    owner: Flag.optional(owner),
    max: Flag.Int("max").pipe(
      Flag.withDescription(`At most so many an owner, 1 to ${LIST_MAX}`),
      Flag.withDefault(LIST_DEFAULT),
      Flag.filter(
        (max) => max >= 1 && max <= LIST_MAX,
        () => `must be from 1 to ${LIST_MAX}`,
      ),
    ),
    after: Flag.String("after").pipe(
      Flag.withDescription("The next page: what the page before said on stderr. Needs one --schema and --owner"),
      Flag.optional,
    ),
    json: Flags.json,
  },
  (flags) => show(flags),
).pipe(Command.withDescription("List timers by due time"));

const reschedule = Command.make(
  "reschedule",
  {
    key: Argument.String("key").pipe(Argument.withDescription("The instance: an order's id")),
    owner,
    name: Flag.String("name").pipe(Flag.withDescription("Only the timer of this name. Default: all of the instance"), Flag.optional),
    at: Flag.String("at").pipe(Flag.withDescription(`When: ISO 8601 with a time zone, e.g. 2026-01-02T03:04:05Z, or "${NOW}"`)),
    schemas: Flags.schemas,
    json: Flags.json,
    dryRun: Flags.dryRun,
  },
  (flags) => move(flags),
).pipe(Command.withDescription("Give the timers of one instance another time"));

export const command = Command.make("timers").pipe(
  Command.withDescription("Look at timers that wait, and reschedule them"),
  Command.withSubcommands([list, reschedule]),
);

interface Listing {
  readonly schemas: ReadonlyArray<string>;
  readonly owner: Option.Option<string>;
  readonly max: number;
  readonly after: Option.Option<string>;
  readonly json: boolean;
}

const show = Effect.fn("Timers.list")(function* ({ schemas, owner, max, after, json }: Listing) {
  const chosen = yield* Databases.chosen(schemas);
  const isOne = chosen.length === 1 && Option.isSome(owner);
  if (Option.isSome(after) && !isOne) return yield* CliFailure.usage("--after belongs to one --schema and one --owner: name them");
  const from = Option.isSome(after) ? yield* cursorOf(after.value) : null;
  const pages = (yield* Effect.forEach(chosen, (schema) => Databases.within(schema, pagesOf(schema, owner, from, max)))).flat();
  const rows = pages.flatMap(({ schema, timers }) => timers.map((timer) => documentOf(schema, timer)));
  yield* Output.data(
    json,
    rows,
    Output.table(
      ["SCHEMA", "OWNER", "KEY", "NAME", "DUE"],
      rows.map((row) => [row.schema, row.owner, row.key, row.name, row.dueAt]),
    ),
  );
  for (const { schema, timers } of pages) {
    const last = timers.at(-1);
    if (last === undefined || timers.length < max) continue;
    yield* Output.message(`there may be more: --schema ${schema} --owner ${last.owner} --after ${textOf(last)}`);
  }
});

const pagesOf = Effect.fnUntraced(function* (schema: string, owner: Option.Option<string>, after: Cursor | null, max: number) {
  const timers = yield* Timers;
  const owners = Option.isSome(owner) ? [owner.value] : yield* ownersOf;
  return yield* Effect.forEach(owners, (each) => Effect.map(timers.pending(each, { after, max }), (page) => ({ schema, timers: page })));
}, Effect.provide(PgStores.layerClient));

/** The port lists by owner, and each service knows its own; only a person asks for all. */
const ownersOf = Effect.gen(function* () {
  const client = yield* PgClient.PgClient;
  const { rows } = yield* client.query<{ readonly owner: string }>(
    "Timers.owners",
    `select distinct owner from ${client.tables}timers order by owner`,
  );
  return rows.map((row) => row.owner);
});

interface Move {
  readonly key: string;
  readonly owner: string;
  readonly name: Option.Option<string>;
  readonly at: string;
  readonly schemas: ReadonlyArray<string>;
  readonly json: boolean;
  readonly dryRun: boolean;
}

const move = Effect.fn("Timers.reschedule")(function* ({ key, owner, name, at, schemas, json, dryRun }: Move) {
  const [schema, ...others] = yield* Databases.chosen(schemas);
  if (schema === undefined || others.length > 0) return yield* CliFailure.usage("name the one schema of the timers with --schema");
  const time = at === NOW ? null : yield* timeOf(at);
  const isMeant = (timer: Timer): boolean => Option.isNone(name) || timer.name === name.value;
  const moved = yield* Databases.within(schema, moveAll(owner, key, isMeant, time, dryRun).pipe(Effect.provide(PgStores.layerClient)));
  if (moved.length === 0) return yield* CliFailure.failed(`${owner} has no such timer of ${key} in schema ${schema}`);
  const rows = moved.map(({ timer, dueAt }) => ({
    ...documentOf(schema, timer),
    dueAt: Output.time(dueAt),
    before: Output.time(timer.dueAt),
  }));
  yield* Output.data(
    json,
    dryRun ? { wouldReschedule: rows } : { rescheduled: rows },
    rows.map((row) => `${dryRun ? "would move " : ""}${row.key} ${row.name}: ${row.before} -> ${row.dueAt}`).join("\n"),
  );
});

/** Those that were still there. */
const moveAll = Effect.fnUntraced(function* (
  owner: string,
  key: string,
  isMeant: (timer: Timer) => boolean,
  time: number | null,
  dryRun: boolean,
) {
  const timers = yield* Timers;
  return yield* (yield* UnitOfWork).commit(
    Effect.gen(function* () {
      const dueAt = time ?? (yield* Transaction).now;
      const found = (yield* timers.list(owner, key)).filter(isMeant).map((timer) => ({ timer, dueAt }));
      if (dryRun) return found;
      const verdicts = yield* timers.reschedule(found.map(({ timer }) => ({ ...timer, dueAt })));
      return found.filter((_, index) => verdicts[index] === "Rescheduled");
    }),
  );
});

const documentOf = (schema: string, { owner, key, name, dueAt }: Timer) => ({ schema, owner, key, name, dueAt: Output.time(dueAt) });

/** A date alone, or a time without a zone, would be another moment on another machine. */
const ISO = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})$/;

const timeOf = (text: string): Effect.Effect<number, CliFailure.CliFailure> => {
  const millis = ISO.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(millis)
    ? Effect.fail(CliFailure.usage(`--at: "${text}" is no time: 2026-01-02T03:04:05Z, with a time zone, or "${NOW}"`))
    : Effect.succeed(millis);
};

/** Where a page ends: due time, key and name; as text without anything that a shell would read. */
const Cursor = Schema.fromJsonString(Schema.Tuple([Schema.Int, Schema.String, Schema.String]));

type Cursor = Pick<Timer, "key" | "name" | "dueAt">;

const textOf = ({ dueAt, key, name }: Cursor): string => Buffer.from(JSON.stringify([dueAt, key, name])).toString("base64url");

const cursorOf = (text: string): Effect.Effect<Cursor, CliFailure.CliFailure> =>
  Schema.decodeEffect(Cursor)(Buffer.from(text, "base64url").toString()).pipe(
    Effect.map(([dueAt, key, name]) => ({ dueAt, key, name })),
    Effect.mapError(() => CliFailure.usage("--after: take what the page before said on stderr")),
  );
