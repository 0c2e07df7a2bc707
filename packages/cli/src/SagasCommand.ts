/**
 * `saga sagas versions`: which versions of a saga have run here, and how many instances of each are not over. What has none left
 * may leave the list of older definitions. Where nobody coordinates it is a service's part that has run, and its rows that count.
 */
import { ChoreographyReactions, type LiveCount, SagaStore } from "@org/saga-core";
import { PgSagaStore } from "@org/saga-postgres";
import { Effect } from "effect";
import { Argument, Command } from "effect/cli";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

const versions = Command.make(
  "versions",
  {
    saga: Argument.String("saga").pipe(Argument.withDescription("The saga's name"), Argument.withDefault("checkout")),
    schemas: Flags.schemas,
    json: Flags.json,
  },
  (flags) => show(flags),
).pipe(Command.withDescription("List the versions of a saga that have run, their fingerprints and their live instances"));

export const command = Command.make("sagas").pipe(
  Command.withDescription("Look at the versions of sagas"),
  Command.withSubcommands([versions]),
);

const show = Effect.fn("Sagas.versions")(function* ({
  saga,
  schemas,
  json,
}: {
  readonly saga: string;
  readonly schemas: ReadonlyArray<string>;
  readonly json: boolean;
}) {
  const rows: Array<{ readonly schema: string } & Row> = [];
  for (const schema of yield* Databases.chosen(schemas)) {
    for (const row of yield* Databases.within(schema, read(saga))) rows.push({ schema, ...row });
  }
  const text = Output.table(
    ["SCHEMA", "SAGA", "VERSION", "FINGERPRINT", "LIVE"],
    rows.map((row) => [row.schema, row.saga, `${row.version}`, row.fingerprint ?? "-", `${row.live}`]),
  );
  yield* Output.data(json, rows, text);
});

interface Row {
  /** `<saga>/<service>`: a service's part, where nobody coordinates. */
  readonly saga: string;
  readonly version: number;
  readonly fingerprint: string | null;
  readonly live: number;
}

const read = Effect.fnUntraced(function* (saga: string) {
  const sagas = yield* SagaStore;
  const shapes = yield* sagas.shapes(saga);
  const left = yield* sagas.countLiveBy(saga, ChoreographyReactions.MARK);
  const isOf = (shape: Pick<Row, "saga" | "version">, { version, has }: LiveCount): boolean =>
    shape.version === version && (shape.saga !== saga) === has;
  const known = shapes.map((shape): Row => {
    const live = left.find((each) => isOf(shape, each))?.live ?? 0;
    return { saga: shape.saga, version: shape.version, fingerprint: shape.fingerprint, live };
  });
  const unknown = left
    .filter((each) => !shapes.some((shape) => isOf(shape, each)))
    .map(({ version, live }): Row => ({ saga, version, fingerprint: null, live }));
  return [...known, ...unknown];
}, Effect.provide(PgSagaStore.layer));
