/**
 * `PgDriver` on PGlite: PostgreSQL inside the process, one connection. Transactions wait for each other, first come, first
 * served, also those of several schemas on one instance, and those that users begin on the instance themselves.
 *
 * It proves no concurrency, and what holds a transaction open holds up everybody else.
 */
import type { PGlite, Transaction } from "@electric-sql/pglite";
import { Duration } from "effect";
import type { BeginRow, PgDriver, PgResult, PgSession, PgValue } from "./PgDriver.ts";
import * as PgHandle from "./PgHandle.ts";
import * as PgText from "./PgText.ts";

/** The driver of an instance: always the same one, so that all clients of an instance know each other's transactions. */
export const of = (instance: PGlite): PgDriver => {
  const known = drivers.get(instance);
  if (known !== undefined) return known;
  const listeners = new Map<string, Set<() => void>>();
  const driver: PgDriver = {
    kind: "Pglite",
    ownedShards: new Set(),
    // Nothing gets lost inside a process: this is for an instance that was closed meanwhile.
    settleTimeout: Duration.zero,
    query: (text, values) => run(instance, text, values),
    queryInLine: (text, values) => run(instance, text, values),
    begin: (first) => begin(instance, first),
    // There is one process: it needs no server to tell itself.
    notify: (channel) => {
      for (const onNotify of listeners.get(channel) ?? []) onNotify();
      return Promise.resolve(true);
    },
    listen: (channel, onNotify) => {
      const all = listeners.get(channel) ?? new Set();
      listeners.set(channel, all.add(onNotify));
      return () => {
        all.delete(onNotify);
        return Promise.resolve();
      };
    },
  };
  drivers.set(instance, driver);
  return driver;
};

const drivers = new WeakMap<PGlite, PgDriver>();

const run = async <Row extends object>(on: PGlite | Transaction, text: string, values: ReadonlyArray<PgValue>): Promise<PgResult<Row>> => {
  for (const value of values.flat()) PgText.checkUnicode(value);
  const result = await on.query<Row>(text, [...values]);
  return { rows: result.rows, count: result.affectedRows ?? 0 };
};

/**
 * PGlite runs a transaction as a callback, and keeps everybody else out until it returns. Here it returns when the session
 * ends.
 */
const begin = (instance: PGlite, first: string): Promise<PgSession> => {
  const opened = Promise.withResolvers<PgSession>();
  const ending = Promise.withResolvers<"commit" | "rollback">();
  const ended = instance.transaction(async (transaction) => {
    const { rows } = await transaction.query<BeginRow>(first);
    const [facts] = rows;
    if (facts === undefined) throw new Error("BEGIN has no answer");
    const handle = PgHandle.guarded(transaction, () => false);
    opened.resolve({
      now: facts.now,
      native: { _tag: "Pglite", instance, transaction: handle.guarded },
      query: (text, values) => run(transaction, text, values),
      script: async (text) => {
        await transaction.exec(text);
      },
      commit: async () => {
        const refused = handle.refused();
        ending.resolve(refused === null ? "commit" : "rollback");
        try {
          await ended;
          if (refused !== null) throw refused;
          return "Committed";
        } catch (cause) {
          if (isAborted(cause)) return "RolledBack";
          throw cause;
        }
      },
      beginBehind: () => null,
      rollback: async () => {
        ending.resolve("rollback");
        await ended.catch(() => undefined);
      },
    });
    if ((await ending.promise) === "rollback") await transaction.rollback();
  });
  // Before it opened, the caller hears of a failure; afterwards, whoever ends the session.
  ended.catch(opened.reject);
  return opened.promise;
};

/** `in_failed_sql_transaction`: COMMIT could only roll back. */
const isAborted = (cause: unknown): boolean => typeof cause === "object" && cause !== null && "code" in cause && cause.code === "25P02";
