/** A saga behind promises: its steps are functions of the process, each durable before the next (`DirectSaga`). */
import { Effect, Schema } from "effect";
import type * as Message from "../domain/Message.ts";
import type { Definition } from "../domain/saga/Saga.ts";
import type { AuditEntry, Input, Status } from "../domain/saga/SagaDecider.ts";
import * as SagaInstance from "../domain/saga/SagaInstance.ts";
import * as DirectSaga from "../flow/DirectSaga.ts";
import * as MessageConsumer from "../flow/MessageConsumer.ts";
import * as SagaStart from "../flow/SagaStart.ts";
import * as TimerPump from "../flow/TimerPump.ts";
import { SagaStore } from "../ports/SagaStore.ts";
import type { Session } from "./Session.ts";
import type { Thrown } from "./SagaError.ts";

/** What a step came to: `outcome(SeatHeld, { … })`. */
export type Outcome = DirectSaga.Outcome;

/** The function of a command. */
export interface PlainStep {
  readonly make: (user: Session<never>["user"]) => DirectSaga.Step;
}

/**
 * Performs `type`: a step's command, an undo's or a probe's. It may be called again under the same `stepKey`
 * (`<instance>:<step>:<round>`), by which it has to be idempotent: hand it on to whoever does the work. To throw, or to take longer
 * than the definition's timeout, is no outcome: it is asked again. What failed for good is an outcome: one of the `failed` replies.
 */
export const step = <B>(type: Message.MessageType<B>, perform: (body: B, stepKey: string) => Promise<Outcome>): PlainStep => ({
  make: (user) => DirectSaga.step<B, Thrown, never>(type, (body, stepKey) => user(() => perform(body, stepKey))),
});

export const outcome: <B>(type: Message.MessageType<B>, body: NoInfer<B>) => Outcome = DirectSaga.outcome;

export interface SagaOptions<D, B = never> {
  readonly definition: Definition<D, never>;
  /** A command that none of them performs goes through the outbox to whoever handles it: its replies are among `messages`. */
  readonly steps: ReadonlyArray<PlainStep>;
  /** A message that starts the instance of its key: once, however often it comes. */
  readonly startsOn?: { readonly message: Message.MessageType<B>; readonly data: (body: NoInfer<B>) => D };
  /** Message types that come by the broker: signals, and replies of participants elsewhere. Their key is the instance's id. */
  readonly messages?: ReadonlyArray<Message.AnyType>;
}

/** An instance as it is committed. */
export interface Instance<D> {
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

export interface PlainSaga<D> {
  /** Starts the instance `id`. It stands when this answers; its steps run behind it. One that is there already is left alone. */
  readonly start: (id: string, data: D) => Promise<Status>;
  /** The same, and answers when it came to rest, or a step gave no outcome; then it goes on by its timer. */
  readonly run: (id: string, data: D) => Promise<Status>;
  /** Undoes what was done, until the pivot is asked for; later it changes nothing. Null: there is no such instance. */
  readonly cancel: (id: string, by: string) => Promise<Status | null>;
  /** In `compensationFailed`: asks again for what is left to undo. */
  readonly resume: (id: string, said: Said) => Promise<Status | null>;
  /** In `compensationFailed`: takes somebody's word that `step` was undone by hand. */
  readonly resolve: (id: string, step: string, said: Said) => Promise<Status | null>;
  /** Null: there is no such instance. */
  readonly find: (id: string) => Promise<Instance<D> | null>;
}

/** A person's word, for one that is there. */
type Word = Extract<Input<never>, { readonly _tag: "Cancel" | "Resume" | "Resolve" }>;

/** The mailbox makes batches of what is started together, and keeps each instance's order. */
const TOGETHER = { concurrency: "unbounded" } as const;

export const make = Effect.fnUntraced(function* <Own, D, B>(
  session: Session<Own>,
  catalogue: Message.Catalogue,
  { definition, steps, startsOn, messages = [] }: SagaOptions<D, B>,
) {
  const { name } = definition;
  yield* SagaStart.check(definition);
  const saga = yield* session.inner(DirectSaga.make({ definition, steps: steps.map((each) => each.make(session.user)) }));
  yield* session.source(TimerPump.layer(name, saga.onTimers));
  if (startsOn !== undefined) {
    const { message, data } = startsOn;
    const start = (envelope: Message.Envelope) =>
      Effect.suspend(() =>
        message.is(envelope) ? Effect.map(saga.start(envelope.key, data(envelope.body)), ({ rest }) => session.behind(rest)) : Effect.void,
      );
    const handle = (envelopes: ReadonlyArray<Message.Envelope>) => Effect.forEach(envelopes, (each) => Effect.exit(start(each)), TOGETHER);
    yield* session.source(MessageConsumer.layer({ group: `${name}.start`, catalogue, types: [message], handle }));
  }
  if (messages.length > 0) yield* session.source(MessageConsumer.layer({ group: name, catalogue, types: messages, handle: saga.handle }));
  const decode = Schema.decodeUnknownEffect(Schema.toCodecJson(SagaInstance.schemaOf(definition.data)));
  const tell = (id: string, word: (now: number) => Word) =>
    session.call(saga.tell(id, word)).then((told) => {
      if (told === null) return null;
      session.behind(told.rest);
      return told.status;
    });
  const plain: PlainSaga<D> = {
    start: (id, data) =>
      session.call(saga.start(id, data)).then(({ status, rest }) => {
        session.behind(rest);
        return status;
      }),
    run: (id, data) => session.call(saga.run(id, data)),
    cancel: (id, by) => tell(id, (now) => ({ _tag: "Cancel", by, now })),
    resume: (id, said) => tell(id, (now) => ({ _tag: "Resume", ...said, now })),
    resolve: (id, of, said) => tell(id, (now) => ({ _tag: "Resolve", step: of, ...said, now })),
    find: (id) =>
      session.call(
        Effect.gen(function* () {
          const found = (yield* (yield* SagaStore).find(name, [id])).get(id);
          if (found === undefined) return null;
          const instance = yield* decode(found.state);
          const states = Object.fromEntries(Object.entries(instance.steps).map(([step, { status }]) => [step, status]));
          return { ...instance, steps: states, audit: instance.audit ?? [] };
        }),
      ),
  };
  return plain;
});
