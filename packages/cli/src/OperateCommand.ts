/**
 * What an operator can do for an order. Decided like any other request, in one commit with the saga; the running services
 * carry it out.
 *
 * - `saga orders cancel`: also when the buyer's own cancel came too late; refused once the payment was asked for.
 * - `saga orders resume`: asks again for the undos that were refused for good, after the cause was mended.
 * - `saga orders resolve`: takes a person's word that one of them was done by hand, and goes on with what is left.
 *
 * Who resumed or resolved, and why, is recorded in that commit, in the order's checkout (`saga orders show`). Of a checkout
 * without a coordinator it is the row at the order's home that decides, and tells whoever owns the step.
 */
import {
  Aggregate,
  Checkout,
  ChoreographyReactions,
  ChoreographyRunner,
  CommandHandler,
  type Order,
  OrderId,
  Saga,
  type SagaDecider,
  SagaRunner,
  SagaStore,
} from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Option, Result, Schema } from "effect";
import { Argument, Command, Flag } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

const flags = {
  id: Argument.String("id").pipe(Argument.withDescription("The order's id"), Argument.withSchema(OrderId)),
  schemas: Flags.schemas,
  json: Flags.json,
};

interface Selection {
  readonly id: OrderId;
  readonly schemas: ReadonlyArray<string>;
  readonly json: boolean;
}

export const cancel = Command.make("cancel", flags, (selection) =>
  operate(selection, {
    command: (now) => ({ _tag: "Cancel", by: "operator", now }),
    refusal: () => null,
    tell: ({ id, status }) =>
      status === "canceled" ? `order ${id} is canceled` : `order ${id} is being canceled: what was done is undone first`,
  }),
).pipe(Command.withDescription("Cancel an order as an operator, until its payment was asked for: what was done so far is undone"));

export const resume = Command.make(
  "resume",
  { ...flags, by: Flags.by, reason: Flag.optional(Flags.reason) },
  Effect.fnUntraced(function* (selection) {
    const by = yield* Flags.decider(selection.by);
    const note = Option.getOrElse(selection.reason, () => "");
    yield* operate(selection, {
      command: (now) => ({ _tag: "Resume", by, note, now }),
      refusal: (checkout) => (isRefused(checkout) ? null : `nothing to resume: ${restOf(checkout)}`),
      tell: ({ id, status }) => `order ${id} is ${status}: the undos that were refused are asked for again`,
    });
  }),
).pipe(Command.withDescription("Ask again for the undos that were refused for good, after the cause was mended"));

const RESOLVED = "The step that was undone by hand, as `saga orders show` names it";

export const resolve = Command.make(
  "resolve",
  {
    ...flags,
    step: Flag.String("step").pipe(Flag.withDescription(RESOLVED), Flag.withMetavar("name")),
    by: Flags.by,
    reason: Flags.reason.pipe(
      Flag.filter(
        (text) => text.trim() !== "",
        () => "must say why",
      ),
    ),
  },
  Effect.fnUntraced(function* (selection) {
    const { reason: note, step } = selection;
    const by = yield* Flags.decider(selection.by);
    yield* operate(selection, {
      command: (now) => ({ _tag: "Resolve", step, by, note, now }),
      refusal: (checkout) => (isRefused(checkout, step) ? null : `nothing to resolve at "${step}": ${restOf(checkout)}`),
      tell: ({ id, status }) => `order ${id} is ${status}: "${step}" counts as undone by hand, and what is left is undone`,
    });
  }),
).pipe(Command.withDescription("Say that an undo that was refused for good was done by hand: nobody is asked for it again"));

interface Operation {
  readonly command: SagaRunner.Command;
  /** Why it would change nothing. */
  readonly refusal: (checkout: Checkup | null) => string | null;
  readonly tell: (order: Order.Order) => string;
}

/** A checkout, however it is run. */
interface Checkup {
  readonly status: SagaDecider.Status;
  /** Undos that wait for a person. */
  readonly refused: ReadonlyArray<string>;
}

const restOf = (checkout: Checkup | null): string => {
  if (checkout === null || checkout.refused.length === 0)
    return `no undo was refused for good${checkout === null ? "" : `, its checkout is ${checkout.status}`}`;
  return `refused for good ${checkout.refused.length === 1 ? "is" : "are"} ${checkout.refused.join(", ")}`;
};

const operate = Effect.fn("Orders.operate")(function* ({ id, schemas, json }: Selection, operation: Operation) {
  const [schema, ...others] = yield* Databases.chosen(schemas);
  if (schema === undefined || others.length > 0) return yield* CliFailure.usage("name the one schema of the order with --schema");
  const answer = yield* Databases.within(schema, decide(id, operation).pipe(Effect.provide(PgStores.layerClient)));
  if (Result.isFailure(answer)) return yield* CliFailure.failed(`order ${id}: ${reasonOf(answer.failure)}`);
  const { status, cancelRequested } = answer.success;
  yield* Output.data(json, { id, status, cancelRequested }, operation.tell(answer.success));
});

const decide = Effect.fnUntraced(function* (id: OrderId, operation: Operation) {
  const record = (yield* (yield* SagaStore).find(definition.name, [id])).get(id);
  const isOurs = record === undefined || record.version === definition.version;
  if (isOurs && (record === undefined || isInstance(record.state))) return yield* decideBy(coordinated, coordinatedOf, id, operation);
  if (isOurs && ChoreographyReactions.isStored(record.state)) return yield* decideBy(atHome, atHomeOf, id, operation);
  return yield* CliFailure.failed(
    `order ${id}: its checkout is of version ${record.version}: this program cannot decide about it, the order service can`,
  );
});

const decideBy = Effect.fnUntraced(function* <S extends { readonly order: Order.State }, R>(
  aggregate: Aggregate.Aggregate<S, SagaRunner.Command, SagaRunner.Answer, R>,
  checkupOf: (state: S) => Checkup | null,
  id: OrderId,
  { command, refusal }: Operation,
) {
  const run = CommandHandler.runAlone(aggregate, (state, input: Aggregate.Input<SagaRunner.Command>, now) => {
    const problem = state.order === null ? null : refusal(checkupOf(state));
    if (problem !== null) return Effect.fail(CliFailure.failed(`order ${id}: ${problem}`));
    return Effect.succeed(aggregate.decide(state, input, now));
  });
  const [handled] = yield* run([Aggregate.request(id, command)]);
  if (handled?._tag !== "Answered" || handled.answer === null) return yield* Effect.die(new Error("a request was answered with nothing"));
  return handled.answer;
});

const definition = Checkout.make();
const coordinated = SagaRunner.make(definition);
const atHome = ChoreographyRunner.make(Saga.choreograph(definition, Checkout.distribution).home);

const coordinatedOf = ({ saga }: SagaRunner.State): Checkup | null => {
  if (saga === null) return null;
  const { status, steps } = saga;
  return { status, refused: status === STUCK ? Object.keys(steps).filter((name) => steps[name]?.status === REFUSED) : [] };
};

/** A row at home knows of everyone's refused undos. */
const atHomeOf = ({ row }: ChoreographyRunner.State): Checkup | null => {
  const status = row?.instance?.status;
  return row === null || status === undefined ? null : { status, refused: status === STUCK ? row.refused : [] };
};

const STUCK: SagaDecider.Status = "compensationFailed";
const REFUSED: SagaDecider.StepStatus = "undoRefused";

const isRefused = (checkout: Checkup | null, step?: string): boolean =>
  checkout !== null && (step === undefined ? checkout.refused.length > 0 : checkout.refused.includes(step));

const isInstance = Schema.is(Schema.toEncoded(Schema.toCodecJson(SagaRunner.Instance)));

const reasonOf = (rejection: Order.Rejection): string => {
  switch (rejection._tag) {
    case "OrderNotFound":
      return "there is none in this schema";
    case "TooLateToCancel":
      return `it cannot be canceled: it is ${rejection.status}, and its payment was asked for or is settled`;
    case "InvalidTransition":
    case "OrderExists":
    case "EmptyOrder":
    case "TooManyLines":
    case "NothingCaptured":
    case "CurrencyMismatch":
      return rejection._tag;
  }
};
