/**
 * The home of a choreographed saga, whatever it is about: here instances start, and here people cancel them and decide about
 * undos that were refused. It is a service's part like any other (`ChoreographyService`), and takes requests, too.
 *
 *     const trips = yield* ChoreographyHome.make(trip.home, { roles: ["consumer", "worker"] })
 *     yield* trips.start("trip-1", { … }) // { _tag: "Started" }
 *
 * 1. A request, a message and a timer are one kind of input: the row, what is told to the others and its timers are one commit.
 * 2. An id starts once. A start that is repeated changes nothing, whatever data it brings.
 * 3. A cancel is a request to the arbiter. Whether it came before the pivot was asked for, the instance's status tells later.
 * 4. A person's word is taken where an undo was refused, once a refusal; who and why is kept in every row that it reaches.
 *
 * No aggregate stands beside it, so the saga has no local steps: others do not compile. `startWithin` commits an instance
 * together with rows of your own.
 */
import { Effect, Layer, Schema, type Scope } from "effect";
import type { Projection } from "../domain/saga/choreography/Choreography.ts";
import * as Known from "../domain/saga/choreography/Known.ts";
import type * as Reactions from "../domain/saga/choreography/Reactions.ts";
import * as InstanceId from "../domain/saga/InstanceId.ts";
import type * as SagaDecider from "../domain/saga/SagaDecider.ts";
import type { Failure } from "../domain/saga/SagaDefinition.ts";
import * as SagaInstance from "../domain/saga/SagaInstance.ts";
import * as SagaRules from "../domain/saga/SagaRules.ts";
import { isPivoted } from "../domain/saga/SagaState.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { DeadLetters } from "../ports/DeadLetters.ts";
import type { MessageBus } from "../ports/MessageBus.ts";
import type { SagaStore } from "../ports/SagaStore.ts";
import { StoreError } from "../ports/StoreError.ts";
import type { Transaction } from "../ports/UnitOfWork.ts";
import * as Aggregate from "./Aggregate.ts";
import * as Batch from "./Batch.ts";
import * as ChoreographyRows from "./ChoreographyRows.ts";
import * as ChoreographyService from "./ChoreographyService.ts";
import * as CommandHandler from "./CommandHandler.ts";
import * as Mailbox from "./Mailbox.ts";

export interface ChoreographyHome<D> {
  /** Once an id. Its steps go on behind it. `Poisoned`: an id that a database could not find again. */
  readonly start: (id: string, data: D) => Effect.Effect<Begun, Mailbox.Failure>;
  /**
   * The same beside your own writes: all of it is committed, or none is. After a `Contention` (two begin the same id at a time)
   * run your transaction again.
   */
  readonly startWithin: (id: string, data: D) => Effect.Effect<Begun, StoreError, Transaction>;
  /** Asks the arbiter to undo what was done. */
  readonly cancel: (id: string, by: string) => Effect.Effect<Canceled, Mailbox.Failure>;
  /** Has all undos that were refused for good asked for again. */
  readonly resume: (id: string, said: Said) => Effect.Effect<Repaired, Mailbox.Failure>;
  /** Takes somebody's word that `step`, whose undo was refused for good, was undone by hand. */
  readonly resolve: (id: string, step: string, said: Said) => Effect.Effect<Repaired, Mailbox.Failure>;
  /** As it is committed here; null: it was not started. `LeftAlone`: it is of a version that is not listed, or has a coordinator. */
  readonly find: (id: string) => Effect.Effect<Instance<D> | null, StoreError | Batch.LeftAlone>;
}

/** Who says so, and why. */
export interface Said {
  readonly by: string;
  readonly note: string;
}

/** `AlreadyThere`: nothing changed. */
export type Begun = { readonly _tag: "Started" } | { readonly _tag: "AlreadyThere" };

/** `TooLate`: it is over, or being undone, or known here to be past its pivot. Nothing changed. */
export type Canceled = { readonly _tag: "Asked" | "TooLate"; readonly status: SagaDecider.Status } | { readonly _tag: "NotFound" };

/** `NothingRefused`: no refused undo is known here, or not that step's, or an earlier word is acted on. Nothing changed. */
export type Repaired = { readonly _tag: "Asked" | "NothingRefused"; readonly status: SagaDecider.Status } | { readonly _tag: "NotFound" };

/** What the home knows of an instance. */
export interface Instance<D> {
  /** Of the definition that it began in. */
  readonly version: number;
  /** `running` until the arbiter has closed it or said that it is undone. */
  readonly status: SagaDecider.Status;
  /** With the outcomes that were heard of here. */
  readonly data: D;
  /** Why it turned around. */
  readonly failure: Failure | null;
  /** Steps whose undo was refused for good, anyone's. */
  readonly refused: ReadonlyArray<string>;
  /** What people did about them, oldest first. */
  readonly audit: ReadonlyArray<SagaDecider.AuditEntry>;
}

/** `older`, `roles` and bounds as for any other service's part. No roles: this process takes requests only. */
export type Options<D> = ChoreographyService.Options<D, never>;

/** A home and its mailbox. What it hears and its timers are handled to the end of the scope. Throws where `home` is another service's part. */
export const make = Effect.fnUntraced(function* <D>(
  home: Projection<D, never>,
  options: Options<D>,
): Effect.fn.Return<ChoreographyHome<D>, never, CommandHandler.Ports | SagaStore | DeadLetters | MessageBus | Scope.Scope> {
  const { name } = home.definition;
  const rows = ChoreographyRows.make(home, options.older);
  const instances = aggregate(home, rows);
  const context = yield* Effect.context<CommandHandler.Ports | SagaStore>();
  const mailbox = yield* Mailbox.make<Aggregate.Input<Command<D>>, Handled, CommandHandler.Ports | SagaStore>({
    name,
    key: Aggregate.keyOf,
    run: CommandHandler.runBatch(instances),
    ...options.mailbox,
  });
  yield* Layer.build(ChoreographyService.into(mailbox, home, options));
  const within = CommandHandler.runWithin(instances);
  const begin = (id: string, data: D) => Aggregate.request<Command<D>>(id, (now) => ({ _tag: "Start", id, data, now }));
  const say = (id: string, word: Command<D>) => Effect.map(mailbox.submit(Aggregate.request(id, word)), answerOf);
  return {
    start: (id, data) => {
      const wrong = InstanceId.problem(id);
      if (wrong !== null) return Effect.fail(Batch.refused(name, wrong));
      return Effect.map(mailbox.submit(begin(id, data)), (handled) => begun(answerOf(handled)));
    },
    startWithin: (id, data) => {
      const wrong = InstanceId.problem(id);
      if (wrong !== null)
        return Effect.fail(new StoreError({ reason: "Misuse", operation: "ChoreographyHome.startWithin", message: wrong }));
      return Effect.map(within([begin(id, data)]), ([handled]) => begun(answerOf(handled))).pipe(Effect.provideContext(context));
    },
    cancel: (id, by) =>
      Effect.map(
        say(id, (now) => ({ _tag: "Cancel", by, now })),
        told("TooLate"),
      ),
    resume: (id, said) =>
      Effect.map(
        say(id, (now) => ({ _tag: "Resume", ...said, now })),
        told("NothingRefused"),
      ),
    resolve: (id, step, said) =>
      Effect.map(
        say(id, (now) => ({ _tag: "Resolve", step, ...said, now })),
        told("NothingRefused"),
      ),
    find: (id) =>
      Effect.map(rows.find(id), (found) => found && instanceOf(found.projection, found.kept)).pipe(Effect.provideContext(context)),
  };
});

/** An input whose time is stamped in its transaction. */
type Command<D> = (now: Timestamp) => Extract<Reactions.Input<D>, { readonly _tag: "Start" | "Cancel" | "Resume" | "Resolve" }>;

/** `status` null: there is no such instance. */
const Answer = Schema.Struct({ status: Schema.NullOr(SagaInstance.Status), isTaken: Schema.Boolean });
type Answer = typeof Answer.Type;
type Handled = CommandHandler.Handled<Answer>;

const aggregate = <D>(
  home: Projection<D, never>,
  { load, save, projectionFor }: ReturnType<typeof ChoreographyRows.make<D, never>>,
): Aggregate.Aggregate<ChoreographyRows.Kept<D>, Command<D>, Answer, SagaStore> => {
  if (!home.isHome) SagaRules.refuse(home.definition.name, `"${home.service}" is not its home: run it with ChoreographyService`);
  return {
    name: home.definition.name,
    initial: ChoreographyRows.NOTHING,
    begins: (input) => input._tag === "Request" && input.command(0)._tag === "Start",
    load,
    save,
    decide: (kept, input, now) => {
      const projection = projectionFor(kept, input);
      const word = input._tag === "Request" ? input.command(now) : ChoreographyService.inputOf(input, now);
      if (word._tag === "Cancel" && isPast(projection, kept))
        return { state: kept, drafts: [], timers: [], answer: answering(kept, false) };
      const decided = ChoreographyService.reacted(projection, kept, Aggregate.keyOf(input), word);
      return { ...decided, answer: answering(decided.state, decided.state !== kept) };
    },
    // Requests here have no idempotency key: the instance's id is one.
    encodeAnswer: (answer) => answer,
    decodeAnswer: Schema.decodeUnknownSync(Answer),
  };
};

/** A home that hears of the pivot need not ask. */
const isPast = <D>({ definition }: Projection<D, never>, { row }: ChoreographyRows.Kept<D>): boolean =>
  row !== null && row.instance !== null && isPivoted(definition, row.instance);

const answering = <D>({ row }: ChoreographyRows.Kept<D>, isTaken: boolean): Answer => ({
  // What was heard of before the start is no instance yet.
  status: row === null || row.instance === null ? null : ChoreographyRows.statusOf(row),
  isTaken,
});

/** Requests without a key are always decided. */
const answerOf = (handled: Handled | undefined): Answer =>
  handled?._tag === "Answered" ? handled.answer : { status: null, isTaken: false };

const begun = ({ isTaken }: Answer): Begun => ({ _tag: isTaken ? "Started" : "AlreadyThere" });

const told =
  <W extends string>(otherwise: W) =>
  ({ status, isTaken }: Answer): { readonly _tag: "Asked" | W; readonly status: SagaDecider.Status } | { readonly _tag: "NotFound" } =>
    status === null ? { _tag: "NotFound" } : { _tag: isTaken ? "Asked" : otherwise, status };

const instanceOf = <D>({ whole }: Projection<D, never>, { row, version }: ChoreographyRows.Kept<D>): Instance<D> | null => {
  if (row === null || version === null || row.instance === null) return null;
  const { data, failure, audit = [] } = row.instance;
  return { version, status: ChoreographyRows.statusOf(row), data: Known.dataOf(whole.steps, data), failure, refused: row.refused, audit };
};
