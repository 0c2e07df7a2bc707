/**
 * The command line `saga`, as a value: arguments in, an exit code out. It never exits by itself and never fails: what went
 * wrong is on stderr, and in the code (see `CliFailure`).
 */
import { describeCause } from "@org/saga-core";
import { Cause, Console, Effect, Exit, Layer, Logger } from "effect";
import { CliConfig, CliError, CliOutput, Command, GlobalFlag, TerminalCapabilities } from "effect/cli";
import * as CheckCommand from "./CheckCommand.ts";
import * as CliFailure from "./CliFailure.ts";
import * as DiagramCommand from "./DiagramCommand.ts";
import * as DlqCommand from "./DlqCommand.ts";
import * as Flags from "./Flags.ts";
import * as MigrateCommand from "./MigrateCommand.ts";
import * as OrdersCommand from "./OrdersCommand.ts";
import * as OutboxCommand from "./OutboxCommand.ts";
import * as SagasCommand from "./SagasCommand.ts";
import * as StockCommand from "./StockCommand.ts";
import * as TimersCommand from "./TimersCommand.ts";
import * as TopicsCommand from "./TopicsCommand.ts";

export const command = Command.make("saga").pipe(
  Command.withDescription(
    "Develop and operate sagas: migrations, topics, diagrams, proofs, and what orders, outboxes and dead letters look like",
  ),
  Command.withSubcommands([
    MigrateCommand.command,
    TopicsCommand.command,
    DiagramCommand.command,
    CheckCommand.command,
    OrdersCommand.command,
    SagasCommand.command,
    OutboxCommand.command,
    DlqCommand.command,
    TimersCommand.command,
    StockCommand.command,
  ]),
  Command.withGlobalFlags([Flags.tablePrefix]),
);

/** Runs one command line (without `node` and the script). */
export const run = Effect.fn("Cli.run")(function* (args: ReadonlyArray<string>, version: string) {
  const exit = yield* Command.runWith(command, { version })(args).pipe(Effect.provide(presentation), Effect.exit);
  return yield* end(exit);
});

/** Usage errors in short form on stderr; help that was asked for is data. */
const presenter: CliOutput.Presenter = {
  present: (event) => {
    switch (event._tag) {
      case "Help":
      case "Version":
        return event._tag === "Help" && event.reason === "Implicit"
          ? Effect.flatMap(formatter, (format) => Console.error(format.formatHelpDoc(event.helpDoc)))
          : CliOutput.defaultPresenter.present(event);
      case "InvalidInvocation":
        return Console.error(
          [
            ...event.errors.map((error) => `saga: ${inWords(error)}`),
            `Usage: ${event.helpDoc.usage}`,
            `Try: ${event.commandPath.join(" ")} --help`,
          ].join("\n"),
        );
    }
  },
};

/** Without what `withSchema` puts before the schema's own words. */
const inWords = (error: CliError.CliError): string => {
  if (error._tag !== "InvalidValue") return error.message;
  const { option, value, kind } = error;
  return new CliError.InvalidValue({ option, value, kind, expected: error.expected.replace(/^Schema validation failed: /, "") }).message;
};

const formatter = Effect.map(TerminalCapabilities.TerminalCapabilities, ({ canColor }) => CliOutput.defaultFormatter({ colors: canColor }));

/** No wizard: it is a conversation, and this program never asks. */
const presentation = Layer.mergeAll(
  CliOutput.layerPresenter(presenter),
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel] }),
  TerminalCapabilities.layer,
  Layer.succeed(Logger.LogToStderr, true),
);

const end = <A>(exit: Exit.Exit<A, unknown>): Effect.Effect<number> => {
  if (Exit.isSuccess(exit)) return Effect.succeed(CliFailure.OK);
  const { cause } = exit;
  if (Cause.hasInterruptsOnly(cause)) return Effect.succeed(CliFailure.INTERRUPTED);
  const error = Cause.squash(cause);
  if (error instanceof CliFailure.CliFailure) return Effect.as(Console.error(`saga: ${error.message}`), error.code);
  // The presenter has spoken.
  if (CliError.isCliError(error)) return Effect.succeed(CliFailure.USAGE);
  return Effect.as(Console.error(`saga: unexpected: ${describeCause(cause)}`), CliFailure.FAILED);
};
