#!/usr/bin/env node
/** The program `saga`. Sets the exit code and lets Node end by itself, so that no output is cut off. */
import { readFileSync } from "node:fs";
import { NodeRuntime, NodeServices } from "@effect/platform-node";
import { Effect, Exit, Layer, Schema } from "effect";
import * as Brokers from "./Brokers.ts";
import * as Cli from "./Cli.ts";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";

const Manifest = Schema.fromJsonString(Schema.Struct({ version: Schema.String }));
const { version } = Schema.decodeSync(Manifest)(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

Cli.run(process.argv.slice(2), version).pipe(
  Effect.provide(Layer.mergeAll(Brokers.layer, Databases.layer, NodeServices.layer)),
  NodeRuntime.runMain({
    teardown: (exit, onExit) => {
      const code = Exit.isSuccess(exit) && typeof exit.value === "number" ? exit.value : CliFailure.INTERRUPTED;
      process.exitCode = code;
      // Only a signal has to end what may still be open.
      onExit(Exit.isSuccess(exit) ? 0 : code);
    },
  }),
);
