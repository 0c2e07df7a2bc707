/**
 * `saga topics`: makes the topics that the messages of a catalogue travel on, or tells which are there. Topics are never made by
 * writing to them: a wrong name is an error then, not a new topic that nobody reads.
 */
import { type BusError, CheckoutMessages } from "@org/saga-core";
import { TopicName } from "@org/saga-kafka";
import { Effect } from "effect";
import { Command, Flag } from "effect/cli";
import { Brokers, type Topics } from "./Brokers.ts";
import * as CliFailure from "./CliFailure.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

const topics = Flag.String("topic").pipe(
  Flag.withDescription("A topic; repeatable. Default: those of the checkout's catalogue"),
  Flag.withMetavar("name"),
  Flag.filter(
    (name) => TopicName.problemOf(name) === null,
    (name) => TopicName.problemOf(name) ?? "",
  ),
  Flag.atLeast(0),
);

const create = Command.make("create", { topics, dryRun: Flags.dryRun, json: Flags.json }, (flags) => createMissing(flags)).pipe(
  Command.withDescription("Create the topics that are missing"),
);

const list = Command.make("list", { topics, json: Flags.json }, (flags) => show(flags)).pipe(
  Command.withDescription("Show which topics are there. Exit code 3: some are missing"),
);

export const command = Command.make("topics").pipe(
  Command.withDescription("Create or list the Kafka topics of a catalogue of messages"),
  Command.withSubcommands([create, list]),
);

interface Selection {
  readonly topics: ReadonlyArray<string>;
  readonly json: boolean;
}

const createMissing = Effect.fn("Topics.create")(function* (flags: Selection & { readonly dryRun: boolean }) {
  const states = yield* statesOf(flags.topics);
  const missing = states.filter(({ exists }) => !exists);
  if (!flags.dryRun && missing.length > 0) {
    yield* broker(({ create: make }) => make(missing.map(({ topic }) => topic)));
  }
  const names = missing.map(({ name }) => name);
  const done = flags.dryRun ? { wouldCreate: names } : { created: names };
  const text = names.length === 0 ? "every topic is there" : names.join("\n");
  yield* Output.data(flags.json, { ...done, existing: states.filter(({ exists }) => exists).map(({ name }) => name) }, text);
});

const show = Effect.fn("Topics.list")(function* (flags: Selection) {
  const states = yield* statesOf(flags.topics);
  yield* Output.data(
    flags.json,
    states.map(({ name, exists }) => ({ topic: name, exists })),
    Output.table(
      ["TOPIC", "EXISTS"],
      states.map(({ name, exists }) => [name, exists ? "yes" : "no"]),
    ),
  );
  const missing = states.filter(({ exists }) => !exists).length;
  if (missing > 0) return yield* CliFailure.findings(`${missing} of ${states.length} topics are missing: saga topics create`);
});

const statesOf = (chosen: ReadonlyArray<string>) => {
  const names = chosen.length > 0 ? [...new Set(chosen)].toSorted() : CheckoutMessages.catalogue.topics;
  return broker(({ existing, nameOf }) =>
    Effect.map(existing(names), (found) => names.map((topic) => ({ topic, name: nameOf(topic), exists: found.has(topic) }))),
  );
};

const broker = Effect.fnUntraced(function* <A>(body: (topics: Topics) => Effect.Effect<A, BusError>) {
  const brokers = yield* Brokers;
  return yield* Effect.mapError(brokers.use(body), (error) => (error._tag === "BusError" ? CliFailure.ofBus(error) : error));
});
