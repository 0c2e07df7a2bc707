/**
 * `saga dlq list`: messages that could not be handled, with the reason. Reads, and changes nothing. Payloads are never shown:
 * they may hold what a terminal's scrollback should not.
 */
import { type DeadLetter, DeadLetters } from "@org/saga-core";
import { PgClient, PgDeadLetters } from "@org/saga-postgres";
import { Effect, Option } from "effect";
import { Command, Flag } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

/** What fits on a few screens; whoever has more knows that already. */
const LIST_DEFAULT = 100;
/** One page in memory. */
const LIST_MAX = 10_000;

const list = Command.make(
  "list",
  {
    schemas: Flags.schemas,
    consumer: Flag.String("consumer").pipe(Flag.withDescription("Only this consumer's"), Flag.optional),
    max: Flag.Int("max").pipe(
      Flag.withDescription(`At most so many a consumer, 1 to ${LIST_MAX}`),
      Flag.withDefault(LIST_DEFAULT),
      Flag.filter(
        (max) => max >= 1 && max <= LIST_MAX,
        () => `must be from 1 to ${LIST_MAX}`,
      ),
    ),
    json: Flags.json,
  },
  (flags) => show(flags),
).pipe(Command.withDescription("List dead letters, oldest first. Exit code 3: there are some"));

export const command = Command.make("dlq").pipe(
  Command.withDescription("Look at messages that could not be handled"),
  Command.withSubcommands([list]),
);

interface Selection {
  readonly schemas: ReadonlyArray<string>;
  readonly consumer: Option.Option<string>;
  readonly max: number;
  readonly json: boolean;
}

const show = Effect.fn("Dlq.list")(function* ({ schemas, consumer, max, json }: Selection) {
  const letters = (yield* Effect.forEach(yield* Databases.chosen(schemas), (schema) =>
    Databases.within(schema, lettersOf(schema, consumer, max)),
  )).flat();
  yield* Output.data(
    json,
    letters,
    Output.table(
      ["SCHEMA", "CONSUMER", "MESSAGE", "TYPE", "KEY", "AT", "PROBLEM", "ATTEMPTS", "DETAIL"],
      letters.map((letter) => [
        letter.schema,
        letter.consumer,
        letter.messageId,
        letter.type,
        letter.key,
        letter.at,
        letter.problem,
        `${letter.attempts}`,
        letter.detail,
      ]),
    ),
  );
  if (letters.length > 0) return yield* CliFailure.findings(`${letters.length} dead letter${letters.length === 1 ? "" : "s"}`);
});

const lettersOf = Effect.fnUntraced(function* (schema: string, consumer: Option.Option<string>, max: number) {
  const store = yield* DeadLetters;
  const consumers = Option.isSome(consumer) ? [consumer.value] : yield* consumersOf;
  const letters = yield* Effect.forEach(consumers, (name) => store.list(name, max));
  return letters.flat().map((letter) => documentOf(schema, letter));
}, Effect.provide(PgDeadLetters.layer));

/** The port lists by consumer, and each service knows its own; only a person asks for all. */
const consumersOf = Effect.gen(function* () {
  const client = yield* PgClient.PgClient;
  const { rows } = yield* client.query<{ readonly consumer: string }>(
    "Dlq.consumers",
    `select distinct consumer from ${client.tables}dead_letters order by consumer`,
  );
  return rows.map((row) => row.consumer);
});

const documentOf = (schema: string, letter: DeadLetter) => ({
  schema,
  consumer: letter.consumer,
  messageId: letter.message.id,
  type: letter.message.type,
  topic: letter.message.topic,
  key: letter.message.key,
  position: letter.position,
  at: Output.time(letter.at),
  problem: letter.problem,
  attempts: letter.attempts,
  detail: letter.detail,
  correlationId: letter.message.correlationId,
});
