/** Versions of a trip, and what happens to those in flight when the definition changes. Runs on any ports. */
import { Batch, type CommandHandler, DirectSaga, Message, Saga, SagaStore, SagaVersions } from "@org/saga-core";
import { Cause, Effect, Exit, Result, Schema, type Scope } from "effect";

export const NAME = "versioned-trip";

const Ref = Schema.Struct({ id: Schema.String });
type Ref = typeof Ref.Type;
const topic = { topic: "trip.steps", key: ({ id }: Ref) => id };
const asked = (name: string) => Message.command(`trip.${name}.v1`, Ref, topic);
const told = (name: string) => Message.event(`trip.${name}.v1`, Ref, topic);

const ref = ({ id }: Ref) => ({ id });
const undo = { send: asked("cancel"), with: ref, done: told("canceled") };
const book = { send: asked("book"), with: ref, done: told("booked"), undo };
const check = { send: asked("check"), with: ref, done: told("checked"), undo: { none: "it changes nothing" } };
const insure = { send: asked("insure"), with: ref, done: told("insured"), undo: { none: "it lapses" } };
const pay = { send: asked("pay"), with: ref, done: told("paid"), undo: { none: "nothing turns around behind it" } };
const ticket = { send: asked("ticket"), with: ref, done: told("ticketed") };

type Definition = Saga.Definition<Ref, never>;

const v = (version: number) => Saga.make(NAME, { version, data: Ref });

export const first: Definition = v(1).pipe(
  Saga.step("check", check),
  Saga.step("book", book),
  Saga.pivot("pay", pay),
  Saga.retriable("ticket", ticket),
);

/** Of each kind of change the second version, and the migration to it. */
export const changes = {
  renamed: {
    definition: v(2).pipe(
      Saga.step("check", check),
      Saga.step("book-seat", book),
      Saga.pivot("pay", pay),
      Saga.retriable("issue-ticket", ticket),
    ),
    renamed: { book: "book-seat", ticket: "issue-ticket" },
  },
  inserted: {
    definition: v(2).pipe(
      Saga.step("check", check),
      Saga.step("book", book),
      Saga.step("insure", insure),
      Saga.pivot("pay", pay),
      Saga.retriable("ticket", ticket),
    ),
    renamed: {},
  },
  removed: {
    definition: v(2).pipe(Saga.step("book", book), Saga.pivot("pay", pay), Saga.retriable("ticket", ticket)),
    renamed: {},
  },
} satisfies Record<string, { readonly definition: Definition; readonly renamed: Record<string, string> }>;

export type Change = keyof typeof changes;

/** What answers each step. */
const ANSWERS: Record<string, readonly [step: string, type: Message.MessageType<Ref>]> = {
  check: ["check", check.done],
  book: ["book", book.done],
  "book-seat": ["book-seat", book.done],
  insure: ["insure", insure.done],
  pay: ["pay", pay.done],
  ticket: ["ticket", ticket.done],
  "issue-ticket": ["issue-ticket", ticket.done],
};

type Ports = CommandHandler.Ports | SagaStore | Scope.Scope;

/** A process that knows some versions. Nothing is done in it: every step is answered from elsewhere. */
export const processOf = (
  definition: Definition,
  older: ReadonlyArray<SagaVersions.Older<never>> = [],
): Effect.Effect<DirectSaga.DirectSaga<Ref>, never, Ports> => DirectSaga.make({ definition, older, steps: [] });

export const upgradedTo = (change: Change): Effect.Effect<DirectSaga.DirectSaga<Ref>, never, Ports> => {
  const { definition, renamed } = changes[change];
  return processOf(definition, [SagaVersions.migrate(first, definition, { data: (data) => Result.succeed(data), renamed })]);
};

export const keeping = (change: Change): Effect.Effect<DirectSaga.DirectSaga<Ref>, never, Ports> =>
  processOf(changes[change].definition, [SagaVersions.keep(first)]);

let messages = 0;

/** `Success`, `LeftAlone`, …: what a process makes of the answer to a step. */
export const answer = Effect.fnUntraced(function* (process: DirectSaga.DirectSaga<Ref>, id: string, name: string) {
  const [step, type] = ANSWERS[name] ?? [];
  if (step === undefined || type === undefined) throw new Error(`nobody answers ${name}`);
  messages += 1;
  const meta = { id: `${id}-${name}-${messages}`, type: type.type, topic: type.topic, key: id, occurredAt: 0, correlationId: id };
  const nobody = { causationId: null, traceparent: null, tracestate: null };
  const [exit] = yield* process.handle([{ ...meta, ...nobody, stepKey: `${id}:${step}:1`, saga: `${NAME}@1`, body: { id } }]);
  if (exit === undefined || Exit.isSuccess(exit)) return "Success";
  const failure = Cause.squash(exit.cause);
  return failure instanceof Batch.LeftAlone ? failure._tag : "Failure";
});

const Stored = Schema.Struct({ steps: Schema.Record(Schema.String, Schema.Struct({ status: Schema.String })) });
const decode = Schema.decodeUnknownSync(Stored);

/** `1 running: check done, book sent`. */
export const shown = Effect.fnUntraced(function* (id: string) {
  const record = (yield* (yield* SagaStore).find(NAME, [id])).get(id);
  if (record === undefined) return "not there";
  const steps = Object.entries(decode(record.state).steps).map(([name, { status }]) => `${name} ${status}`);
  return `${record.version} ${record.status}: ${steps.toSorted().join(", ")}`;
});

/** Begins an instance in the first version, and answers the steps `done` there. */
export const inFlight = Effect.fnUntraced(function* (id: string, done: ReadonlyArray<string>) {
  const old = yield* processOf(first);
  yield* old.run(id, { id });
  for (const step of done) yield* answer(old, id, step);
  return yield* shown(id);
});
