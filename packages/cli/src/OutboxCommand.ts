/** `saga outbox status`: what waits to be published, and what the broker refused for good. Reads, and changes nothing. */
import { type Backlog, Outbox } from "@org/saga-core";
import { PgOutbox } from "@org/saga-postgres";
import { Clock, Effect } from "effect";
import { Command } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

const status = Command.make("status", { schemas: Flags.schemas, json: Flags.json }, (flags) => show(flags)).pipe(
  Command.withDescription("Show the backlog of each schema. Exit code 3: messages are parked, and wait for a person"),
);

export const command = Command.make("outbox").pipe(
  Command.withDescription("Look at messages that are to be published"),
  Command.withSubcommands([status]),
);

const show = Effect.fn("Outbox.status")(function* (flags: { readonly schemas: ReadonlyArray<string>; readonly json: boolean }) {
  const backlogs = yield* Effect.forEach(yield* Databases.chosen(flags.schemas), (schema) => Databases.within(schema, backlogOf(schema)));
  const now = yield* Clock.currentTimeMillis;
  yield* Output.data(
    flags.json,
    backlogs.map(({ schema, pending, oldestAt, parked }) => ({
      schema,
      pending,
      oldestAt: oldestAt === null ? null : Output.time(oldestAt),
      parked,
    })),
    Output.table(
      ["SCHEMA", "PENDING", "OLDEST", "PARKED"],
      backlogs.map((backlog) => [backlog.schema, `${backlog.pending}`, age(backlog, now), `${backlog.parked}`]),
    ),
  );
  const parked = backlogs.filter((backlog) => backlog.parked > 0).map(({ schema }) => schema);
  if (parked.length > 0) return yield* CliFailure.findings(`refused by the broker for good, waiting for a person: ${parked.join(", ")}`);
});

const backlogOf = Effect.fnUntraced(function* (schema: string) {
  const outbox = yield* Outbox;
  return { schema, ...(yield* outbox.backlog) };
}, Effect.provide(PgOutbox.layer));

/** Seconds: the number that an alarm is set on. */
const age = ({ oldestAt }: Backlog, now: number): string =>
  oldestAt === null ? "-" : `${Math.max(0, Math.round((now - oldestAt) / 1000))} s`;
