/**
 * `saga outbox`: what waits to be published (`status`), what the broker refused for good (`parked`), and what a person decides
 * about it: publish it after all (`retry`), or give it up (`discard`). Payloads are never shown. Decisions are recorded, with who
 * and why, in the transaction that carries them out (`decisions`), and logged, a line for each message.
 */
import { type Backlog, BACKLOG_COUNT_MAX, Outbox, type Decided, type Parked, type ParkedAction } from "@org/saga-core";
import { PgOutbox } from "@org/saga-postgres";
import { Clock, Effect, Option } from "effect";
import { Argument, Command, Flag } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

const status = Command.make("status", { schemas: Flags.schemas, json: Flags.json }, (flags) => show(flags)).pipe(
  Command.withDescription("Show the backlog of each schema. Exit code 3: messages are parked, and wait for a person"),
);

/** What fits on a few screens; whoever has more knows that already. */
const LIST_DEFAULT = 100;
/** One page in memory. */
const LIST_MAX = 10_000;

const listing = {
  schemas: Flags.schemas,
  max: Flag.Int("max").pipe(
    Flag.withDescription(`At most so many a schema, 1 to ${LIST_MAX}`),
    Flag.withDefault(LIST_DEFAULT),
    Flag.filter(
      (max) => max >= 1 && max <= LIST_MAX,
      () => `must be from 1 to ${LIST_MAX}`,
    ),
  ),
  json: Flags.json,
};

interface Listing {
  readonly schemas: ReadonlyArray<string>;
  readonly max: number;
  readonly json: boolean;
}

const parked = Command.make("parked", listing, (flags) => list(flags)).pipe(
  Command.withDescription("List messages that the broker refused for good, oldest first. Exit code 3: there are some"),
);

const decisions = Command.make("decisions", listing, (flags) => listDecisions(flags)).pipe(
  Command.withDescription("List what people decided about refused messages, newest first"),
);

const ids = Argument.String("id").pipe(Argument.withDescription("The message's id, as `parked` shows it"), Argument.atLeast(1));

const decision = {
  ids,
  schemas: Flags.schemas,
  by: Flags.by,
  reason: Flag.optional(Flags.reason),
  json: Flags.json,
};

interface Decision {
  readonly ids: ReadonlyArray<string>;
  readonly schemas: ReadonlyArray<string>;
  readonly by: Option.Option<string>;
  readonly reason: Option.Option<string>;
  readonly json: boolean;
}

const retry = Command.make("retry", decision, (flags) => settle(flags, "Retry")).pipe(
  Command.withDescription("Publish parked messages after all, and what waits behind them, in order"),
);

const discard = Command.make(
  "discard",
  {
    ...decision,
    yes: Flag.Boolean("yes").pipe(Flag.withDescription("Really: the messages are deleted, and never published"), Flag.withDefault(false)),
  },
  (flags) =>
    flags.yes
      ? settle(flags, "Discard")
      : Effect.fail(CliFailure.usage("discarded messages are deleted, and never published: confirm with --yes")),
).pipe(Command.withDescription("Give parked messages up; what waits behind them is published"));

export const command = Command.make("outbox").pipe(
  Command.withDescription("Look at messages that are to be published, and decide about those that the broker refused"),
  Command.withSubcommands([status, parked, retry, discard, decisions]),
);

const show = Effect.fn("Outbox.status")(function* (flags: { readonly schemas: ReadonlyArray<string>; readonly json: boolean }) {
  const backlogs = yield* Effect.forEach(yield* Databases.chosen(flags.schemas), (schema) => Databases.within(schema, backlogOf(schema)));
  const now = yield* Clock.currentTimeMillis;
  yield* Output.data(
    flags.json,
    backlogs.map((backlog) => ({ ...backlog, oldestAt: backlog.oldestAt === null ? null : Output.time(backlog.oldestAt) })),
    Output.table(
      ["SCHEMA", "PENDING", "OLDEST", "PARKED", "HELD"],
      backlogs.map((backlog) => [backlog.schema, count(backlog.pending), age(backlog, now), count(backlog.parked), count(backlog.held)]),
    ),
  );
  const refused = backlogs.filter((backlog) => backlog.parked > 0).map(({ schema }) => schema);
  if (refused.length > 0) return yield* CliFailure.findings(`refused by the broker for good, waiting for a person: ${refused.join(", ")}`);
});

const backlogOf = Effect.fnUntraced(function* (schema: string) {
  const outbox = yield* Outbox;
  return { schema, ...(yield* outbox.backlog) };
}, Effect.provide(PgOutbox.layer));

/** Seconds: the number that an alarm is set on. */
const age = ({ oldestAt }: Backlog, now: number): string =>
  oldestAt === null ? "-" : `${Math.max(0, Math.round((now - oldestAt) / 1000))} s`;

/** Counting ends at a bound. */
const count = (value: number): string => (value < BACKLOG_COUNT_MAX ? `${value}` : `${value}+`);

const list = Effect.fn("Outbox.parked")(function* (flags: Listing) {
  const rows = (yield* Effect.forEach(yield* Databases.chosen(flags.schemas), (schema) =>
    Databases.within(schema, parkedOf(schema, flags.max)),
  )).flat();
  yield* Output.data(
    flags.json,
    rows,
    Output.table(
      ["SCHEMA", "MESSAGE", "TYPE", "TOPIC", "KEY", "SINCE", "HELD"],
      rows.map((row) => [row.schema, row.messageId, row.type, row.topic, row.key, row.since, row.blocks ? count(row.held) : "-"]),
    ),
  );
  if (rows.length > 0) return yield* CliFailure.findings(`${rows.length} parked message${rows.length === 1 ? "" : "s"}`);
});

const parkedOf = Effect.fnUntraced(function* (schema: string, max: number) {
  const outbox = yield* Outbox;
  return (yield* outbox.parked(max)).map((one) => documentOf(schema, one));
}, Effect.provide(PgOutbox.layer));

const documentOf = (schema: string, { blocks, held, message, parkedAt }: Parked) => ({
  schema,
  messageId: message.id,
  type: message.type,
  topic: message.topic,
  key: message.key,
  since: Output.time(parkedAt),
  blocks,
  held,
});

const listDecisions = Effect.fn("Outbox.decisions")(function* (flags: Listing) {
  const rows = (yield* Effect.forEach(yield* Databases.chosen(flags.schemas), (schema) =>
    Databases.within(schema, decisionsOf(schema, flags.max)),
  )).flat();
  yield* Output.data(
    flags.json,
    rows,
    Output.table(
      ["SCHEMA", "AT", "BY", "DECISION", "MESSAGE", "TYPE", "TOPIC", "KEY", "REASON"],
      rows.map((row) => [row.schema, row.at, row.by, row.decision, row.messageId, row.type, row.topic, row.key, row.reason]),
    ),
  );
});

const decisionsOf = Effect.fnUntraced(function* (schema: string, max: number) {
  const outbox = yield* Outbox;
  return (yield* outbox.decisions(max)).map((one) => decidedOf(schema, one));
}, Effect.provide(PgOutbox.layer));

const VERBS = { Retry: "retried", Discard: "discarded" } as const satisfies Record<ParkedAction, string>;

const decidedOf = (schema: string, { action, at, by, message, reason }: Decided) => ({
  schema,
  at: Output.time(at),
  by,
  decision: VERBS[action],
  messageId: message.id,
  type: message.type,
  topic: message.topic,
  key: message.key,
  reason,
});

const settle = Effect.fn("Outbox.settle")(function* (flags: Decision, action: ParkedAction) {
  const [schema, ...others] = yield* Databases.chosen(flags.schemas);
  if (schema === undefined || others.length > 0) return yield* CliFailure.usage("name the one schema of the messages with --schema");
  const by = yield* Flags.decider(flags.by);
  const reason = Option.getOrElse(flags.reason, () => "");
  const decide = Effect.flatMap(Outbox, (outbox) => outbox.settleParked(flags.ids, { action, by, reason })).pipe(
    Effect.provide(PgOutbox.layer),
  );
  const parkedOnes = yield* Databases.within(schema, decide);
  const verb = VERBS[action];
  const found = new Set(parkedOnes.map(({ id }) => id));
  const unknown = flags.ids.filter((id) => !found.has(id));
  // All the named ones or none.
  const settled = unknown.length === 0 ? parkedOnes : [];
  for (const { id, key, topic, type } of settled) {
    yield* Effect.logInfo(`outbox of ${schema}: ${verb} by ${by}: message ${id}, ${type}, key ${key}, topic ${topic}`);
  }
  const done = settled.map(({ id }) => id);
  if (flags.json || done.length > 0) {
    yield* Output.data(flags.json, { schema, [verb]: done, unknown }, done.map((id) => `${verb} ${id}`).join("\n"));
  }
  if (unknown.length > 0) return yield* CliFailure.failed(`nothing was ${verb}: not parked in schema ${schema}: ${unknown.join(", ")}`);
});
