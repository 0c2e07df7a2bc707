/**
 * How a command ends when it does not end well: an exit code that scripts can branch on, and a sentence for people.
 *
 * | code | means |
 * |---|---|
 * | 0 | done |
 * | 1 | failed |
 * | 2 | usage: the command line or the environment is wrong; nothing was done |
 * | 3 | findings: the command worked, and there is something that a person should look at |
 * | 4 | unreachable: a server did not answer; nothing was done there |
 * | 130 | interrupted |
 */
import type { BusError, StoreError } from "@org/saga-core";
import type { PgMigrations } from "@org/saga-postgres";
import { Schema } from "effect";

export const OK = 0;
export const FAILED = 1;
export const USAGE = 2;
export const FINDINGS = 3;
export const UNREACHABLE = 4;
/** 128 + SIGINT, as shells have it. */
export const INTERRUPTED = 130;

export class CliFailure extends Schema.TaggedError<CliFailure>()("CliFailure", {
  code: Schema.Literals([FAILED, USAGE, FINDINGS, UNREACHABLE]),
  /** For stderr. Never holds addresses, payloads or secrets. */
  message: Schema.String,
}) {}

export const failed = (message: string): CliFailure => new CliFailure({ code: FAILED, message });

export const usage = (message: string): CliFailure => new CliFailure({ code: USAGE, message });

export const findings = (message: string): CliFailure => new CliFailure({ code: FINDINGS, message });

/** `where`: what was asked, e.g. `schema order`. What is one already stays as it is. */
export const ofStore =
  (where: string) =>
  (error: StoreError | PgMigrations.PgMigrationError | CliFailure): CliFailure => {
    if (error._tag === "CliFailure") return error;
    const message = `${where}: ${error.message}`;
    const isUnreachable = error._tag === "StoreError" && error.reason === "Unavailable" && !NOT_MIGRATED.test(error.message);
    return isUnreachable ? new CliFailure({ code: UNREACHABLE, message: `PostgreSQL, ${message}` }) : failed(message);
  };

export const ofBus = (error: BusError): CliFailure => ofServer("Kafka", error);

/** What the log of stock says, which is in Redis. */
export const ofLog = (error: StoreError): CliFailure => ofServer("Redis", error);

const ofServer = (server: string, { reason, message }: BusError | StoreError): CliFailure =>
  reason === "Unavailable" ? new CliFailure({ code: UNREACHABLE, message: `${server}: ${message}` }) : failed(`${server}: ${message}`);

/** To a service a missing table is a wait for its migration; to a person it is an answer. */
const NOT_MIGRATED = /^SQLSTATE (42|3F)/;
