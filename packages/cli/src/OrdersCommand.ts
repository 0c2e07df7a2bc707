/**
 * `saga orders show` and `saga orders diagram`: one order with its timeline, and how far its checkout is. Reads, and changes nothing. It does not show
 * the means of payment.
 */
import {
  Checkout,
  ChoreographyReactions,
  type Order,
  OrderId,
  OrderStore,
  SagaDiagram,
  type SagaRecord,
  SagaRunner,
  SagaStore,
} from "@org/saga-core";
import { PgOrderStore, PgSagaStore } from "@org/saga-postgres";
import { Console, Effect, Layer, Option, Schema } from "effect";
import { Argument, Command, Flag } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as OperateCommand from "./OperateCommand.ts";
import * as Output from "./Output.ts";

const show = Command.make(
  "show",
  {
    id: Argument.String("id").pipe(Argument.withDescription("The order's id"), Argument.withSchema(OrderId)),
    schemas: Flags.schemas,
    json: Flags.json,
  },
  (flags) => showOrder(flags),
).pipe(Command.withDescription("Show an order: lines, timeline, and the steps of its checkout. Exit code 3: an undo waits for a person"));

const diagram = Command.make(
  "diagram",
  {
    id: Argument.String("id").pipe(Argument.withDescription("The order's id"), Argument.withSchema(OrderId)),
    schemas: Flags.schemas,
    sequence: Flag.Boolean("sequence").pipe(
      Flag.withDescription("Who was asked what, instead of the steps and their undos"),
      Flag.withDefault(false),
    ),
  },
  (flags) => drawOrder(flags),
).pipe(Command.withDescription("Print the checkout of an order as a Mermaid diagram: what is done, under way, undone, stuck"));

export const command = Command.make("orders").pipe(
  Command.withDescription("Look at orders, cancel them, decide about undos that were refused"),
  Command.withSubcommands([show, diagram, OperateCommand.cancel, OperateCommand.resume, OperateCommand.resolve]),
);

interface Found {
  readonly schema: string;
  readonly order: Order.Order;
  readonly record: SagaRecord | null;
}

const showOrder = Effect.fn("Orders.show")(function* ({
  id,
  schemas,
  json,
}: {
  readonly id: OrderId;
  readonly schemas: ReadonlyArray<string>;
  readonly json: boolean;
}) {
  const chosen = yield* Databases.chosen(schemas);
  const found = yield* firstOf(chosen, id);
  if (found === null) return yield* CliFailure.failed(`no order ${id} in ${chosen.map(Databases.where).join(", ")}`);
  const document = documentOf(found);
  yield* Output.data(json, document, textOf(document));
  if (found.record?.status === "compensationFailed") {
    return yield* CliFailure.findings(`order ${id}: an undo was refused for good, and waits for a person`);
  }
});

const drawOrder = Effect.fn("Orders.diagram")(function* (flags: {
  readonly id: OrderId;
  readonly schemas: ReadonlyArray<string>;
  readonly sequence: boolean;
}) {
  const { id, sequence } = flags;
  const chosen = yield* Databases.chosen(flags.schemas);
  const found = yield* firstOf(chosen, id);
  if (found === null) return yield* CliFailure.failed(`no order ${id} in ${chosen.map(Databases.where).join(", ")}`);
  const definition = Checkout.make();
  const { record } = found;
  const instance = record === null ? null : seenOf(record.state);
  if (record !== null && (instance === null || record.version !== definition.version)) {
    return yield* CliFailure.failed(`the checkout of order ${id} is of version ${record.version}, which this program cannot draw`);
  }
  yield* Console.log((sequence ? SagaDiagram.sequence(definition, instance) : SagaDiagram.states(definition, instance)).trimEnd());
});

const firstOf = Effect.fnUntraced(function* (schemas: ReadonlyArray<string>, id: OrderId) {
  for (const schema of schemas) {
    const found = yield* Databases.within(schema, find(schema, id));
    if (found !== null) return found;
  }
  return null;
});

const find = Effect.fnUntraced(
  function* (schema: string, id: OrderId) {
    const order = (yield* (yield* OrderStore).find([id])).get(id);
    if (order === undefined) return null;
    const record = (yield* (yield* SagaStore).find(SAGA, [id])).get(id) ?? null;
    return { schema, order, record } satisfies Found;
  },
  Effect.provide(Layer.mergeAll(PgOrderStore.layer, PgSagaStore.layer)),
);

type Document = ReturnType<typeof documentOf>;

const documentOf = ({ schema, order, record }: Found) => ({
  id: order.id,
  schema,
  customerId: order.customerId,
  status: order.status,
  reason: order.reason,
  paid: order.paid,
  cancelPolicy: order.cancelPolicy,
  cancelRequested: order.cancelRequested,
  total: order.total,
  lines: order.lines,
  timeline: order.history.map(({ status, at, reason }) => ({ status, at: Output.time(at), reason })),
  saga: record === null ? null : sagaOf(record),
});

/** What can be seen of an instance, and of the row at home of one without a coordinator. */
const { version, status, failure, startedAt, steps, audit } = SagaRunner.Instance.fields;
const Seen = Schema.Struct({ version, status, failure, startedAt, steps, audit });
const decodeSeen = Schema.decodeUnknownOption(Schema.toCodecJson(Seen));
const decodeAtHome = Schema.decodeUnknownOption(
  Schema.toCodecJson(Schema.Struct({ instance: Seen, settled: Schema.Array(Schema.String), refused: Schema.Array(Schema.String) })),
);

/** At home a step of another service is over when it was heard of, and its undo when nothing is left of it. */
const seenOf = (state: unknown): typeof Seen.Type | null => {
  if (!ChoreographyReactions.isStored(state)) return Option.getOrNull(decodeSeen(state));
  const row = Option.getOrNull(decodeAtHome(state));
  if (row === null) return null;
  const heard = (name: string, step: typeof NOT_YET | (typeof Seen.Type.steps)[string]) => {
    if (row.refused.includes(name)) return { ...step, status: "undoRefused" } as const;
    return step.status === "done" && row.settled.includes(name) ? ({ ...step, status: "undone" } as const) : step;
  };
  const names = new Set([...Object.keys(row.instance.steps), ...row.refused]);
  const all = [...names].map((name) => [name, heard(name, row.instance.steps[name] ?? NOT_YET)] as const);
  return { ...row.instance, steps: Object.fromEntries(all) };
};

/** Of a version whose instances this one cannot read, name and status are known all the same. */
const sagaOf = (record: SagaRecord) => {
  const instance = seenOf(record.state);
  return {
    name: record.saga,
    version: record.version,
    status: record.status,
    failure: instance?.failure ?? null,
    refused: instance === null ? [] : Object.keys(instance.steps).filter((name) => instance.steps[name]?.status === "undoRefused"),
    startedAt: instance === null ? null : Output.time(instance.startedAt),
    audit: (instance?.audit ?? []).map(({ at, ...entry }) => ({ at: Output.time(at), ...entry })),
    steps: instance === null ? null : Checkout.make().steps.map(({ name, kind }) => ({ name, kind, ...(instance.steps[name] ?? NOT_YET) })),
  };
};

/** The name of the checkout saga. */
const SAGA = Checkout.make().name;

const NOT_YET = { status: "pending", round: 1, attempts: 0 } as const;

const textOf = ({ saga, ...order }: Document): string =>
  [
    `order     ${order.id}  (schema ${order.schema})`,
    `status    ${order.status}${order.reason === null ? "" : `: ${order.reason}`}${order.cancelRequested ? ", cancel requested" : ""}`,
    `customer  ${order.customerId}`,
    `total     ${amount(order.total)}${order.paid ? ", paid" : ""}`,
    "",
    Output.table(
      ["SKU", "NAME", "QUANTITY", "UNIT PRICE"],
      order.lines.map((line) => [line.sku, line.name, `${line.quantity}`, amount(line.unitPrice)]),
    ),
    "",
    Output.table(
      ["AT", "STATUS", "REASON"],
      order.timeline.map(({ at, status, reason }) => [at, status, reason ?? ""]),
    ),
    ...(saga === null ? [] : ["", sagaText(saga)]),
  ].join("\n");

const sagaText = (saga: NonNullable<Document["saga"]>): string =>
  [
    `saga      ${saga.name} v${saga.version}: ${saga.status}${saga.failure === null ? "" : `, ${saga.failure.reason} at ${saga.failure.step}`}`,
    ...(saga.refused.length === 0 ? [] : [`refused   ${saga.refused.join(", ")}`]),
    ...(saga.steps === null
      ? ["its steps are of a version that this one cannot read"]
      : [
          "",
          Output.table(
            ["STEP", "KIND", "STATUS", "ROUND", "ATTEMPTS"],
            saga.steps.map((step) => [step.name, step.kind, step.status, `${step.round}`, `${step.attempts}`]),
          ),
        ]),
    ...(saga.audit.length === 0
      ? []
      : [
          "",
          Output.table(
            ["AT", "BY", "DECISION", "STEP", "REASON"],
            saga.audit.map(({ at, by, action, step, note }) => [at, by, action, step ?? "all that was refused", note]),
          ),
        ]),
  ].join("\n");

/** In minor units, as stored: how many make a major one is the currency's affair. */
const amount = (money: Order.Order["total"]): string => `${money.amount} ${money.currency} (minor units)`;
