/**
 * One service's PostgreSQL: a driver and a schema. The port that all stores of this package stand on.
 *
 * Statements name their tables with the schema, so several clients (schemas) may share one connection. Statements are not
 * interrupted half-way: they are bounded by the timeouts of `PgConfig`.
 */
import type { PGlite } from "@electric-sql/pglite";
import { StoreError, type Transaction } from "@org/saga-core";
import { Context, Effect, Layer } from "effect";
import * as PgConfig from "./PgConfig.ts";
import type { PgDriver, PgNative, PgResult, PgValue } from "./PgDriver.ts";
import * as PgError from "./PgError.ts";
import * as PgStatements from "./PgStatements.ts";
import * as PgliteDriver from "./PgliteDriver.ts";
import * as PgTransaction from "./PgTransaction.ts";
import * as PoolDriver from "./PoolDriver.ts";

export class PgClient extends Context.Service<
  PgClient,
  {
    readonly driver: PgDriver;
    /** The schema's name. */
    readonly schema: string;
    /** The same as an SQL identifier, quotes included. */
    readonly quoted: string;
    /** What stands before each table's name: schema and prefix. `select … from ${tables}orders`. */
    readonly tables: string;
    /** The prefix alone. */
    readonly prefix: string;
    /**
     * One statement. Inside a transaction of the same driver it runs in that transaction (a database with one connection
     * could not answer otherwise), else in one of its own.
     */
    readonly query: <Row extends object>(
      operation: string,
      text: string,
      values?: ReadonlyArray<PgValue>,
    ) => Effect.Effect<PgResult<Row>, StoreError>;
    /**
     * One statement in the open transaction. If it fails, the transaction cannot commit any more. One that would begin or end a
     * transaction (`commit`, `rollback`, but not `rollback to`) is not sent: `Misuse`, and the transaction rolls back.
     */
    readonly within: <Row extends object>(
      operation: string,
      text: string,
      values?: ReadonlyArray<PgValue>,
    ) => Effect.Effect<PgResult<Row>, StoreError, Transaction>;
    /**
     * Users' own statements in the open transaction, on the driver library's handle (`PgDrizzle` is the same for drizzle). The
     * commit stays with `UnitOfWork`: a statement that would begin or end a transaction is not sent, as with `within`. A database
     * error is classified as any other, and dooms the transaction; what else `run` rejects with is a defect. Await every
     * statement: the handle ends with the transaction.
     */
    readonly use: <A>(operation: string, run: (native: PgNative) => Promise<A>) => Effect.Effect<A, StoreError, Transaction>;
    /**
     * The driver library's handle of the open transaction itself. Unlike with `use`, failures of its promises are yours to
     * classify. A statement that fails on it, or was not sent, dooms the transaction all the same.
     */
    readonly native: Effect.Effect<PgNative, StoreError, Transaction>;
  }
>()("@org/saga-postgres/PgClient") {}

/** A client of `driver` in `schema`. Names are checked: they become part of statements. */
export const make = Effect.fnUntraced(function* (
  driver: PgDriver,
  schema: string,
  tablePrefix: string = PgConfig.DEFAULT_TABLE_PREFIX,
): Effect.fn.Return<PgClient["Service"], StoreError> {
  const problem = PgConfig.nameProblem(schema, tablePrefix);
  if (problem !== null) return yield* PgTransaction.failure("Misuse", "PgClient.make", problem);
  const scope: Scope = { driver, home: { schema, prefix: tablePrefix } };
  return {
    driver,
    schema,
    quoted: `"${schema}"`,
    tables: `"${schema}".${tablePrefix}`,
    prefix: tablePrefix,
    query: (operation, text, values = []) => query(scope, operation, text, values),
    within: (operation, text, values = []) => within(scope, operation, text, values),
    use: (operation, run) => use(scope, operation, run),
    native: Effect.map(PgTransaction.current(driver, "PgClient.native"), (transaction) => transaction.session.native),
  };
});

/** A pool of connections of its own, closed with the scope. Connects with the first statement. */
export const layer = (options: PgConfig.PgOptions): Layer.Layer<PgClient, StoreError> =>
  Layer.effect(
    PgClient,
    Effect.gen(function* () {
      const config = PgConfig.make(options);
      const problem = PgConfig.problemOf(config);
      if (problem !== null) return yield* PgTransaction.failure("Misuse", "PgClient.layer", problem);
      const driver = yield* Effect.acquireRelease(
        Effect.sync(() => PoolDriver.make(config)),
        (pool) => Effect.promise(() => pool.close()),
      );
      return yield* make(driver, config.schema, config.tablePrefix);
    }),
  );

/** A schema of a PGlite instance that lives elsewhere. Several may share one instance. */
export const layerPglite = (
  instance: PGlite,
  schema: string = PgConfig.DEFAULT_SCHEMA,
  tablePrefix: string = PgConfig.DEFAULT_TABLE_PREFIX,
): Layer.Layer<PgClient, StoreError> => Layer.effect(PgClient, make(PgliteDriver.of(instance), schema, tablePrefix));

/** Whose statements they are. */
interface Scope {
  readonly driver: PgDriver;
  readonly home: PgError.Home;
}

const query = <Row extends object>(
  { driver, home }: Scope,
  operation: string,
  text: string,
  values: ReadonlyArray<PgValue>,
): Effect.Effect<PgResult<Row>, StoreError> =>
  Effect.flatMap(PgTransaction.open, (open) =>
    open !== null && open.driver === driver
      ? inTransaction<Row>(open, home, operation, text, values)
      : attempt(operation, () => driver.query<Row>(text, values), home),
  );

const within = <Row extends object>(
  { driver, home }: Scope,
  operation: string,
  text: string,
  values: ReadonlyArray<PgValue>,
): Effect.Effect<PgResult<Row>, StoreError, Transaction> =>
  Effect.flatMap(PgTransaction.current(driver, operation), (transaction) => inTransaction<Row>(transaction, home, operation, text, values));

const inTransaction = <Row extends object>(
  transaction: PgTransaction.PgTransaction,
  home: PgError.Home,
  operation: string,
  text: string,
  values: ReadonlyArray<PgValue>,
): Effect.Effect<PgResult<Row>, StoreError> =>
  Effect.mapError(
    Effect.suspend(() => {
      const ending = PgStatements.endsTransaction(text);
      return ending === null ? attempt(operation, () => transaction.session.query<Row>(text, values), home) : refused(operation, ending);
    }),
    (error) => PgTransaction.doom(transaction, error),
  );

const refused = (operation: string, ending: string): Effect.Effect<never, StoreError> =>
  PgTransaction.failure("Misuse", operation, PgStatements.whyNot(ending));

const use = <A>(
  { driver, home }: Scope,
  operation: string,
  run: (native: PgNative) => Promise<A>,
): Effect.Effect<A, StoreError, Transaction> =>
  Effect.flatMap(PgTransaction.current(driver, operation), (transaction) =>
    Effect.uninterruptible(
      Effect.callback<A, StoreError>((resume) => {
        Promise.resolve(transaction.session.native)
          .then(run)
          .then(
            (answer) => resume(Effect.succeed(answer)),
            (cause: unknown) => {
              if (!PgError.isDatabaseError(cause)) return resume(Effect.die(cause));
              return resume(Effect.fail(PgTransaction.doom(transaction, PgError.classify(operation, "statement", cause, home))));
            },
          );
      }),
    ),
  );

/** A promise of the driver, to its end. `home` tells lost races on the keys of this package's tables from users' own rules. */
export const attempt = <A>(operation: string, run: () => Promise<A>, home: PgError.Home | null = null): Effect.Effect<A, StoreError> =>
  Effect.uninterruptible(Effect.tryPromise({ try: run, catch: (cause) => PgError.classify(operation, "statement", cause, home) }));
