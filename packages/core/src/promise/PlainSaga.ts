/** A saga behind promises: its steps are functions of the process, each durable before the next (`DirectSaga`). */
import { Effect, Layer } from "effect";
import type * as Message from "../domain/Message.ts";
import * as InstanceId from "../domain/saga/InstanceId.ts";
import type { Definition } from "../domain/saga/Saga.ts";
import type { AuditEntry, Input, Status } from "../domain/saga/SagaDecider.ts";
import type * as SagaState from "../domain/saga/SagaState.ts";
import * as SagaShape from "../domain/saga/SagaShape.ts";
import * as SagaVersions from "../domain/saga/SagaVersions.ts";
import * as DirectSaga from "../flow/DirectSaga.ts";
import * as MessageConsumer from "../flow/MessageConsumer.ts";
import * as SagaStart from "../flow/SagaStart.ts";
import * as TimerPump from "../flow/TimerPump.ts";
import { SagaStore } from "../ports/SagaStore.ts";
import * as PlainVersions from "./PlainVersions.ts";
import { SagaError } from "./SagaError.ts";
import * as SagaWiring from "./SagaWiring.ts";
import type { Session } from "./Session.ts";

/** What a step came to: `outcome(SeatHeld, { … })`. */
export type Outcome = DirectSaga.Outcome;

/** The function of a command. */
export interface PlainStep {
  readonly make: (user: Session<never>["user"]) => DirectSaga.Step;
}

/**
 * Performs `type`: a step's command, an undo's or a probe's. It may be called again under the same `key`
 * (`<instance>:<step>:<round>`, for an undo `<instance>:<step>:<round>/undo`), by which it has to be idempotent: hand it on to
 * whoever does the work. To throw is no outcome: it is asked again. So is to take longer than the definition's timeout; it is not
 * called again while it runs here, and what it answers late counts if it is still awaited. What failed for good is an outcome: one
 * of the `failed` replies.
 */
export const step = <B>(type: Message.MessageType<B>, perform: (body: B, key: string) => Promise<Outcome>): PlainStep => ({
  make: (user) =>
    DirectSaga.step<B, never, never>(type, (body, key) =>
      user(() => perform(body, key)).pipe(Effect.catch(({ error }) => Effect.die(error))),
    ),
});

export const outcome: <B>(type: Message.MessageType<B>, body: NoInfer<B>) => Outcome = DirectSaga.outcome;

export interface SagaOptions<D, B = never, O extends ReadonlyArray<unknown> = readonly []> {
  readonly definition: Definition<D, never>;
  /** Versions before it whose instances go on here (`SagaVersions`); those of others are left alone. `steps` are of all of them. */
  readonly older?: PlainVersions.Olders<O>;
  /**
   * A command that none of them performs goes through the outbox to whoever handles it: it is among the client's messages, and its
   * replies are among `messages`. What is in neither place is refused.
   */
  readonly steps: ReadonlyArray<PlainStep>;
  /** A message that starts the instance of its key: once, however often it comes. */
  readonly startsOn?: StartsOn<D, B>;
  /** Message types that come by the broker: signals, and replies of participants elsewhere. Their key is the instance's id. */
  readonly messages?: ReadonlyArray<Message.AnyType>;
}

/** An instance as it is committed. */
export interface Instance<D> {
  /** Of the definition that it is in. */
  readonly version: number;
  readonly status: Status;
  readonly data: D;
  /** Status of each step that has begun, or is over. */
  readonly steps: Readonly<Record<string, string>>;
  /** Why it turned around. */
  readonly failure: { readonly step: string; readonly reason: string } | null;
  /** What people did about undos that were refused. */
  readonly audit: ReadonlyArray<AuditEntry>;
}

/** Who says so, and why: kept in the instance. */
export interface Said {
  readonly by: string;
  readonly note: string;
}

export interface StartsOn<D, B> {
  readonly message: Message.MessageType<B>;
  readonly data: (body: NoInfer<B>) => D;
}

/** `O`: what instances of older versions remember. */
export interface PlainSaga<D, O = never> {
  /**
   * Starts the instance `id`. It stands when this answers; its steps run behind it. One that is there already is left alone. The id
   * has 1 to 255 characters and is well-formed Unicode without NUL: another one is a `Misuse`.
   */
  readonly start: (id: string, data: D) => Promise<Status>;
  /**
   * The same, and answers when it came to rest; `running` or `compensating` if a step gave no outcome, or it waits for a signal or
   * for a reply by the broker: then it goes on by its timer or that message. For one that is there already: its present status.
   */
  readonly run: (id: string, data: D) => Promise<Status>;
  /** Undoes what was done, until the pivot is asked for; later it changes nothing. Null: there is no such instance. */
  readonly cancel: (id: string, by: string) => Promise<Status | null>;
  /** In `compensationFailed`: asks again for what is left to undo. */
  readonly resume: (id: string, said: Said) => Promise<Status | null>;
  /** In `compensationFailed`: takes somebody's word that `step` was undone by hand. A name that is no step's is a `Misuse`. */
  readonly resolve: (id: string, step: string, said: Said) => Promise<Status | null>;
  /** Null: there is no such instance. */
  readonly find: (id: string) => Promise<Instance<D | O> | null>;
}

/** A person's word, for one that is there. */
type Word = Extract<Input<never>, { readonly _tag: "Cancel" | "Resume" | "Resolve" }>;

/** Runs behind an answered call: what it fails with, an outcome that could not be written, was logged where that was known. */
const quiet = Effect.ignore;

/** The mailbox makes batches of what is started together, and keeps each instance's order. */
const TOGETHER = { concurrency: "unbounded" } as const;

export const make = Effect.fnUntraced(function* <Own, D, B, O extends ReadonlyArray<unknown>>(
  session: Session<Own>,
  catalogue: Message.Catalogue,
  options: SagaOptions<D, B, O>,
) {
  const { definition, startsOn, messages = [] } = options;
  const { name } = definition;
  const older = (options.older ?? []).map(({ version }) => version);
  const steps = options.steps.map((each) => each.make(session.user));
  const problem = SagaWiring.problem({
    shapes: [SagaShape.of(definition), ...older.map(({ shape }) => shape)],
    performed: steps.map(({ type }) => type),
    startsOn: startsOn?.message ?? null,
    messages,
    catalogue,
  });
  if (problem !== null) return yield* Effect.fail(new SagaError("Misuse", `saga ${name}: ${problem}`));
  yield* SagaStart.check(definition, older);
  const saga = yield* session.inner(DirectSaga.make({ definition, older, steps }));
  const starts = startsOn === undefined ? Layer.empty : startLayer(session, catalogue, name, startsOn, saga);
  const replies =
    messages.length === 0 ? Layer.empty : MessageConsumer.layer({ group: name, catalogue, types: messages, handle: saga.handle });
  yield* session.source(Layer.mergeAll(TimerPump.layer(name, saga.onTimers), starts, replies));
  const names = new Set(
    [SagaShape.of(definition), ...older.map(({ shape }) => shape)].flatMap(({ steps }) => steps.map((each) => each.name)),
  );
  const wrongWord = (by: unknown, note: unknown, of: string | null): string | null => {
    if (typeof by !== "string" || by === "") return "who says so? by needs a name";
    if (typeof note !== "string") return "why? note needs a text";
    return of === null || names.has(of) ? null : `"${of}" is no step: name one of ${[...names].join(", ")}`;
  };
  const tell = (id: string, { by, note }: Said, of: string | null, word: (now: number) => Word) => {
    const wrong = wrongWord(by, note, of);
    const heard: Effect.Effect<void, SagaError> =
      wrong === null ? Effect.void : Effect.fail(new SagaError("Misuse", `saga ${name}: ${wrong}`));
    return session.call(Effect.andThen(heard, saga.tell(id, word))).then((told) => {
      if (told === null) return null;
      session.behind(quiet(told.rest));
      return told.status;
    });
  };
  const begun = <A, E, R>(id: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SagaError, R> => {
    const wrong = InstanceId.problem(id);
    return wrong === null ? effect : Effect.fail(new SagaError("Misuse", `saga ${name}: ${wrong}`));
  };
  const plain: PlainSaga<D, O[number]> = {
    start: (id, data) =>
      session.call(begun(id, saga.start(id, data))).then(({ status, rest }) => {
        session.behind(quiet(rest));
        return status;
      }),
    run: (id, data) => session.call(begun(id, saga.run(id, data))),
    cancel: (id, by) => tell(id, { by, note: "" }, null, (now) => ({ _tag: "Cancel", by, now })),
    resume: (id, said) => tell(id, { ...said }, null, (now) => ({ _tag: "Resume", ...said, now })),
    resolve: (id, of, said) => tell(id, { ...said }, of, (now) => ({ _tag: "Resolve", step: of, ...said, now })),
    find: finder(session, options),
  };
  return plain;
});

const startLayer = <Own, D, B>(
  session: Session<Own>,
  catalogue: Message.Catalogue,
  name: string,
  { message, data }: StartsOn<D, B>,
  saga: DirectSaga.DirectSaga<D>,
) => {
  const start = (envelope: Message.Envelope) =>
    Effect.suspend(() =>
      message.is(envelope)
        ? Effect.map(saga.start(envelope.key, data(envelope.body)), ({ rest }) => session.behind(quiet(rest)))
        : Effect.void,
    );
  const handle = (envelopes: ReadonlyArray<Message.Envelope>) => Effect.forEach(envelopes, (each) => Effect.exit(start(each)), TOGETHER);
  return MessageConsumer.layer({ group: `${name}.start`, catalogue, types: [message], handle });
};

/** Reads an instance by the version that it is in, or goes to when it is read next. */
const finder = <Own, D, B, O extends ReadonlyArray<unknown>>(
  session: Session<Own>,
  { definition, older }: SagaOptions<D, B, O>,
): PlainSaga<D, O[number]>["find"] => {
  const { name } = definition;
  const versions = SagaVersions.make(
    definition,
    older?.map(({ version }) => version),
  );
  const readers = new Map<number, (stored: unknown) => SagaState.Instance<D | O[number]>>([
    [definition.version, PlainVersions.readerOf(definition)],
  ]);
  if (older !== undefined) {
    for (const index of older.keys()) {
      const each = older[index];
      if (each !== undefined) readers.set(each.version.version, each.read);
    }
  }
  return (id) =>
    session.call(
      Effect.gen(function* () {
        const found = (yield* (yield* SagaStore).find(name, [id])).get(id);
        if (found === undefined) return null;
        const pinned = SagaVersions.load(versions, found.version, found.state);
        const read = pinned === null ? undefined : readers.get(pinned.instance.version);
        if (pinned === null || read === undefined) {
          return yield* Effect.fail(
            new SagaError(
              "Unavailable",
              `saga ${name}: an instance of version ${found.version}, which is not known here: list it in older`,
            ),
          );
        }
        const instance = read(pinned.encode());
        const states = Object.fromEntries(Object.entries(instance.steps).map(([step, { status }]) => [step, status]));
        return { ...instance, steps: states, audit: instance.audit ?? [] };
      }),
    );
};
