/** `@org/saga-cli`: the command line as a value (`Cli.run`). */
export * as Brokers from "./Brokers.ts";
export * as Cli from "./Cli.ts";
export * as CliFailure from "./CliFailure.ts";
export * as Databases from "./Databases.ts";
