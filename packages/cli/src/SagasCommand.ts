/**
 * `saga sagas versions`: which versions of a saga have run here, and how many instances of each are not over. What has none left
 * may leave the list of older definitions.
 */
import { SagaStore } from "@org/saga-core";
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
  const rows: Array<{ schema: string; saga: string; version: number; fingerprint: string | null; live: number }> = [];
  for (const schema of yield* Databases.chosen(schemas)) {
    const { shapes, live } = yield* Databases.within(schema, read(saga));
    const known = [...new Set([...shapes.keys(), ...live.keys()])].toSorted((a, b) => a - b);
    for (const version of known) {
      rows.push({ schema, saga, version, fingerprint: shapes.get(version)?.fingerprint ?? null, live: live.get(version) ?? 0 });
    }
  }
  const text = Output.table(
    ["SCHEMA", "SAGA", "VERSION", "FINGERPRINT", "LIVE"],
    rows.map((row) => [row.schema, row.saga, `${row.version}`, row.fingerprint ?? "-", `${row.live}`]),
  );
  yield* Output.data(json, rows, text);
});

const read = Effect.fnUntraced(function* (saga: string) {
  const sagas = yield* SagaStore;
  return { shapes: yield* sagas.shapes(saga), live: yield* sagas.countLive(saga) };
}, Effect.provide(PgSagaStore.layer));
