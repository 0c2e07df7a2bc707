/**
 * `saga stock`: what the ledger of stock in PostgreSQL says, and what an operator does about it. Redis is asked only where it
 * serves in front of the ledger (`HybridStock`); its address comes from `SAGA_REDIS_URL`.
 *
 * - `show`, `holds`: read, and change nothing.
 * - `adjust`: counts goods in or out. Decided in the ledger; the running services tell their log.
 * - `reconcile`: compares orders, holds, books and the log; with `--repair` it makes them fit (`StockReconcile`).
 */
import {
  type Adjust,
  HoldSweeper,
  OrderId,
  Sku,
  type StockAccepted,
  StockAudit,
  StockBooks,
  StockLedger,
  StockLog,
  StockReconcile,
  type StockRejection,
  type StoreError,
  Warehouse,
} from "@org/saga-core";
import { PgConfig, PgStockAudit, PgStockBooks, PgStores } from "@org/saga-postgres";
import { RedisClient, RedisConfig, RedisStockLog } from "@org/saga-redis";
import { Config, Effect, Layer, Option, Redacted, Result } from "effect";
import { Argument, Command, Flag } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as OrderClaims from "./OrderClaims.ts";
import * as Output from "./Output.ts";

/** Orders named in a message. */
const NAMED_MAX = 10;

/** Holds of one listing: some screens; whoever wants more asks SQL. */
const LIST_MAX = 1_000;

const show = Command.make(
  "show",
  {
    skus: Argument.String("sku").pipe(
      Argument.withDescription("SKUs. Default: all"),
      Argument.withSchema(Sku),
      Argument.variadic({ min: 0 }),
    ),
    schemas: Flags.schemas,
    json: Flags.json,
  },
  (flags) => showBooks(flags),
).pipe(Command.withDescription("Show the books of SKUs: on hand, held, committed, available, short"));

const holds = Command.make(
  "holds",
  {
    orders: Argument.String("order").pipe(
      Argument.withDescription("Orders. Default: all that hold goods now"),
      Argument.withSchema(OrderId),
      Argument.variadic({ min: 0 }),
    ),
    schemas: Flags.schemas,
    json: Flags.json,
  },
  (flags) => showHolds(flags),
).pipe(Command.withDescription(`Show what orders have of the stock, the first ${LIST_MAX} to end`));

const adjust = Command.make(
  "adjust",
  {
    sku: Argument.String("sku").pipe(Argument.withDescription("The SKU"), Argument.withSchema(Sku)),
    delta: Flag.Int("by").pipe(Flag.withDescription("Units: counted in, or, below 0, out")),
    id: Flag.String("id").pipe(Flag.withDescription("Names the adjustment, e.g. the delivery's number: the same id is counted once")),
    kind: Flag.Literals("kind", ["receive", "correct", "return"]).pipe(Flag.withDescription("Why"), Flag.withDefault("correct")),
    warehouse: Flag.String("warehouse").pipe(
      Flag.withDescription("Where. Default: the default warehouse"),
      Flag.withSchema(Warehouse),
      Flag.optional,
    ),
    schemas: Flags.schemas,
    json: Flags.json,
  },
  (flags) => count(flags),
).pipe(Command.withDescription("Count goods in or out. Below what is promised, the newest holds are revoked"));

const reconcile = Command.make(
  "reconcile",
  {
    repair: Flag.Boolean("repair").pipe(Flag.withDescription("Make it fit, one transaction a finding"), Flag.withDefault(false)),
    orders: Flag.String("orders").pipe(
      Flag.withDescription("Schema of the order service, to compare holds with orders. Default: they are not compared"),
      Flag.withSchema(PgConfig.SchemaName),
      Flag.optional,
    ),
    schemas: Flags.schemas,
    json: Flags.json,
  },
  (flags) => compare(flags),
).pipe(Command.withDescription("Compare orders, holds, books and the log. Exit code 3: something differs that was not repaired"));

export const command = Command.make("stock").pipe(
  Command.withDescription("Look at the stock, count goods, find and repair what does not fit"),
  Command.withSubcommands([show, holds, adjust, reconcile]),
);

interface Place {
  readonly schemas: ReadonlyArray<string>;
  readonly json: boolean;
}

const stores = Layer.merge(PgStockBooks.layer, PgStockAudit.layer);

/** The one schema that has the stock. */
const schemaOf = Effect.fnUntraced(function* ({ schemas }: Pick<Place, "schemas">) {
  const [schema, ...others] = yield* Databases.chosen(schemas);
  if (schema === undefined || others.length > 0) return yield* CliFailure.usage("name the one schema of the stock with --schema");
  return schema;
});

const showBooks = Effect.fn("Stock.show")(function* ({ skus, json, ...place }: Place & { readonly skus: ReadonlyArray<Sku> }) {
  const read = Effect.flatMap(StockBooks, (books) =>
    skus.length === 0 ? books.allBalances : Effect.map(books.balances(skus), (found) => [...found.values()]),
  );
  const balances = yield* Databases.within(yield* schemaOf(place), Effect.provide(read, stores));
  const rows = balances.flatMap(({ warehouses, ...total }) => [
    { ...total, warehouse: "" },
    ...(warehouses ?? []).map((each) => ({ sku: total.sku, ...each })),
  ]);
  yield* Output.data(
    json,
    balances,
    Output.table(
      ["SKU", "WAREHOUSE", "ON HAND", "HELD", "COMMITTED", "AVAILABLE", "SHORT"],
      rows.map(({ sku, warehouse, onHand, held, committed, available, shortage }) => [
        ...[sku, warehouse],
        ...[onHand, held, committed, available, shortage].map(String),
      ]),
    ),
  );
  const missing = skus.filter((sku) => !balances.some((balance) => balance.sku === sku));
  if (missing.length > 0) return yield* CliFailure.failed(`there are no books of ${missing.join(", ")}`);
});

const showHolds = Effect.fn("Stock.holds")(function* ({ orders, json, ...place }: Place & { readonly orders: ReadonlyArray<OrderId> }) {
  const read = Effect.flatMap(StockAudit, (audit) => audit.holds(orders));
  const found = yield* Databases.within(yield* schemaOf(place), Effect.provide(read, stores));
  const chosen = orders.length === 0 ? [...found.holds.values()] : orders.flatMap((orderId) => found.holds.get(orderId) ?? []);
  const rows = chosen.toSorted((left, right) => left.until - right.until).slice(0, LIST_MAX);
  const documents = rows.map(documentOf);
  yield* Output.data(
    json,
    documents,
    Output.table(
      ["ORDER", "STATUS", "REASON", "UNTIL", "CHANGED", "LINES"],
      documents.map(({ orderId, status, reason, until, changedAt, lines }) => [
        ...[orderId, status, reason ?? "", until, changedAt],
        lines.map(({ sku, quantity, warehouse }) => `${quantity} ${sku}${warehouse === undefined ? "" : ` (${warehouse})`}`).join(", "),
      ]),
    ),
  );
  if (chosen.length > rows.length) yield* Output.message(`${chosen.length - rows.length} more are not shown`);
  const damaged = found.unreadable.filter(({ orderId }) => orders.length === 0 || orders.some((order) => order === orderId));
  if (damaged.length > 0)
    yield* Output.message(`${damaged.map(({ orderId }) => orderId).join(", ")} cannot be read: stock reconcile says what to do`);
});

const documentOf = ({ orderId, status, reason, until, at, lines }: StockLedger.Hold) => ({
  ...{ orderId, status, reason, lines },
  until: Output.time(until),
  changedAt: Output.time(at),
});

type Counted = Place &
  Pick<Adjust, "sku" | "delta" | "id"> & { readonly kind: "receive" | "correct" | "return"; readonly warehouse: Option.Option<Warehouse> };

const count = Effect.fn("Stock.adjust")(function* ({ sku, delta, id, kind, warehouse, json, ...place }: Counted) {
  const named = Option.isSome(warehouse) ? { warehouse: warehouse.value } : {};
  const command: Adjust = { _tag: "Adjust", id, sku, delta, kind, ...named };
  const schema = yield* schemaOf(place);
  const { answer, isNew } = yield* Databases.within(schema, Effect.provide(decide(command), counters));
  if (Result.isFailure(answer)) return yield* CliFailure.failed(`SKU ${sku}: ${reasonOf(answer.failure)}`);
  if (answer.success._tag !== "Adjusted") return yield* Effect.die(new Error("an adjustment was answered with something else"));
  const { onHand, shortage, revoked = [] } = answer.success;
  yield* Output.data(
    json,
    { sku, onHand, shortage, revoked },
    `SKU ${sku}: ${onHand} on hand${shortage === 0 ? "" : `, ${shortage} short of what is promised`}`,
  );
  if (revoked.length > 0)
    yield* Output.message(`holds of ${revoked.length} orders were revoked, the newest: ${revoked.slice(0, NAMED_MAX).join(", ")}`);
  if (isNew) yield* Output.message(`SKU ${sku} is new in schema ${schema}: no books of it were there before`);
});

/** Holds that are revoked are told of by the services' sweepers. */
const counters = Layer.merge(PgStockBooks.layer, PgStores.layerClient);

const decide = Effect.fnUntraced(function* (command: Adjust) {
  const books = yield* StockBooks;
  // For a word of warning: another process may be counting the SKU's first goods at this moment.
  const isNew = !(yield* books.balances([command.sku])).has(command.sku);
  for (;;) {
    const { generation } = yield* books.serving;
    const verdict = yield* books.execute(generation, { holds: [], commands: [command] });
    if (verdict._tag === "Ended") continue;
    const [answer] = verdict.answers;
    if (answer !== undefined && Result.isSuccess(answer)) yield* HoldSweeper.leave(revokedOf(answer.success));
    return answer === undefined ? yield* Effect.die(new Error("one answer per command")) : { answer, isNew };
  }
});

const revokedOf = (accepted: StockAccepted): ReadonlyArray<OrderId> => (accepted._tag === "Adjusted" ? (accepted.revoked ?? []) : []);

const reasonOf = (rejection: StockRejection): string => {
  if (rejection._tag === "InvalidQuantity") return rejection.detail;
  if (rejection._tag === "AdjustmentMismatch") return "the id was used for another adjustment";
  return rejection._tag === "UnknownSku" ? "it was never there" : rejection._tag;
};

type Compared = Place & { readonly repair: boolean; readonly orders: Option.Option<string> };

const compare = Effect.fn("Stock.reconcile")(function* ({ repair, orders, json, ...place }: Compared) {
  const schema = yield* schemaOf(place);
  const findings = Option.isNone(orders)
    ? yield* reconciled(schema, repair, null)
    : // The client of the orders stays open meanwhile.
      yield* Effect.flatMap(
        Databases.within(
          orders.value,
          Effect.flatMap(OrderClaims.make, (claims) => Effect.result(reconciled(schema, repair, claims))),
        ),
        Effect.fromResult,
      );
  yield* Output.data(
    json,
    findings,
    findings.length === 0
      ? "everything fits"
      : Output.table(
          ["OUTCOME", "WHERE", "CAUSE"],
          findings.map(({ outcome, drift, cause, advice }) => [
            outcome.toLowerCase(),
            drift._tag,
            advice === null ? cause : `${cause}. To do: ${advice}`,
          ]),
        ),
  );
  const open = findings.filter(({ outcome }) => outcome === "Found" || outcome === "Refused").length;
  if (open > 0)
    return yield* CliFailure.findings(`${open} difference${open === 1 ? "" : "s"}${repair ? " that a person has to look at" : ""}`);
});

const reconciled = Effect.fnUntraced(function* (
  schema: string,
  repair: boolean,
  claims: StockReconcile.Claims<CliFailure.CliFailure> | null,
) {
  const url = yield* redisUrl;
  const serving = yield* Databases.within(
    schema,
    Effect.provide(
      Effect.flatMap(StockBooks, (books) => books.serving),
      stores,
    ),
  );
  if (serving.server !== null && Option.isNone(url)) {
    if (repair) return yield* CliFailure.usage(`${REDIS_VARIABLE} is not set, and a log in Redis serves: what is repaired, it has to hear`);
    yield* Output.message(`a log in Redis serves; it is not compared: ${REDIS_VARIABLE} is not set`);
  }
  const run = (log: StockLog["Service"] | null) =>
    StockReconcile.run({ repair, log, claims }).pipe(Effect.mapError(told), Effect.provide(stores));
  if (Option.isNone(url)) return yield* Databases.within(schema, run(null));
  const prefix = yield* Config.String(PREFIX_VARIABLE).pipe(Config.withDefault(""), Effect.orDie);
  const redis = RedisConfig.layer({ url: url.value, prefix: `${prefix}${RedisConfig.PREFIX_DEFAULT}` });
  const log = RedisStockLog.layer.pipe(Layer.provide(RedisClient.layerAtOnce), Layer.provide(redis));
  return yield* Databases.within(schema, Effect.provide(Effect.flatMap(StockLog, run), log));
});

/** The log is on another server than the ledger: each is named for what it refuses. */
const told = (error: StoreError | CliFailure.CliFailure): StoreError | CliFailure.CliFailure =>
  error._tag === "StoreError" && error.operation.startsWith("StockLog.") ? CliFailure.ofLog(error) : error;

/** Empty is not set, as the services have it. Looked at also where no log serves: what is wrong with it is heard of before one does. */
const redisUrl = Effect.gen(function* () {
  const url = Option.filter(
    yield* Config.option(Config.Redacted(REDIS_VARIABLE)).pipe(Effect.orDie),
    (text) => Redacted.value(text) !== "",
  );
  const problem = Option.isNone(url) ? null : RedisConfig.problemOf({ url: url.value });
  return problem === null ? url : yield* CliFailure.usage(`${REDIS_VARIABLE}: ${problem}`);
});

const REDIS_VARIABLE = "SAGA_REDIS_URL";
/** As the services have it: before their own prefix. */
const PREFIX_VARIABLE = "SAGA_REDIS_PREFIX";
