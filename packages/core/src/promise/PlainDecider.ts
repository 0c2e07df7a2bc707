/** A decider behind promises: its state as one document a key, its decisions group-committed with whoever else is waiting. */
import { Effect, Result, Schema } from "effect";
import type * as Message from "../domain/Message.ts";
import * as Aggregate from "../flow/Aggregate.ts";
import * as CommandHandler from "../flow/CommandHandler.ts";
import * as DocumentAggregate from "../flow/DocumentAggregate.ts";
import * as Mailbox from "../flow/Mailbox.ts";
import { DocumentStore } from "../ports/DocumentStore.ts";
import * as CanonicalJson from "./CanonicalJson.ts";
import { nameOf, SagaError } from "./SagaError.ts";
import { type Parse, shape } from "./Shape.ts";
import type { Session } from "./Session.ts";

/** What a decision says: what happens, or why not. A `Result` of Effect is one, so existing deciders fit. */
export type Verdict<Event, Rejection> =
  | { readonly _tag: "Success"; readonly success: ReadonlyArray<Event> }
  | { readonly _tag: "Failure"; readonly failure: Rejection };

/** These events happen; none: accepted, nothing to do. */
export const accept = <Event>(...events: ReadonlyArray<Event>): Verdict<Event, never> => ({ _tag: "Success", success: events });

/** Nothing happens, for this reason. */
export const reject = <const Rejection>(failure: Rejection): Verdict<never, Rejection> => ({ _tag: "Failure", failure });

export interface DeciderOptions<State, Command, Event, Rejection> {
  /** Kind of the stored documents. */
  readonly name: string;
  /** The state of an id that nobody has written yet. */
  readonly initial: State;
  /** Pure. `now` is the database's clock, in milliseconds. */
  readonly decide: (state: State, command: Command, now: number) => Verdict<Event, Rejection>;
  /** Pure; it never refuses. */
  readonly evolve: (state: State, event: Event) => State;
  /** How stored states are read. */
  readonly state: Parse<State>;
  /** How stored rejections are read: they are repeated with their idempotency key. */
  readonly rejection: Parse<Rejection>;
  /** What the world hears of it, by the outbox, in the same commit: `Placed.draft({ … })`. `state` is the one after it. */
  readonly announce?: (events: ReadonlyArray<Event>, state: State) => ReadonlyArray<Message.Draft>;
}

/** Answer to a command. `repeated`: nothing was done, it is the first answer under this idempotency key. */
export type Answer<State, Rejection> =
  | { readonly _tag: "Accepted"; readonly state: State; readonly repeated: boolean }
  | { readonly _tag: "Rejected"; readonly rejection: Rejection; readonly repeated: boolean }
  /** The idempotency key was used for another command. */
  | { readonly _tag: "KeyReused" }
  /** The first request under this key is being decided by another process: ask again. */
  | { readonly _tag: "InFlight" };

export interface SubmitOptions {
  /** Chosen by the caller; the same key, the same answer, for a day. */
  readonly idempotencyKey?: string | undefined;
  /** Who the key belongs to: keys of different callers never meet. */
  readonly caller?: string | undefined;
  /** W3C trace context, for the messages that come of it. */
  readonly traceparent?: string | undefined;
}

export interface PlainDecider<State, Command, Rejection> {
  /** A command is a JSON value: by it a repeated one is known, whatever the order of its properties. */
  readonly submit: (id: string, command: Command, options?: SubmitOptions) => Promise<Answer<State, Rejection>>;
  /** The committed state; null if there is none. */
  readonly find: (id: string) => Promise<State | null>;
}

export const make = Effect.fnUntraced(function* <Own, State, Command, Event, Rejection>(
  session: Session<Own>,
  options: DeciderOptions<State, Command, Event, Rejection>,
) {
  const { name } = options;
  const bugs: Bugs = new WeakMap();
  const mailbox = yield* session.inner(
    Mailbox.make<Input<Command>, CommandHandler.Handled<Kept<State, Rejection>>, CommandHandler.Ports | DocumentStore>({
      name,
      key: Aggregate.keyOf,
      run: CommandHandler.runBatch(aggregateOf(options, bugs)),
    }),
  );
  const decode = Schema.decodeUnknownEffect(Schema.toCodecJson(shape(options.state)));
  const decider: PlainDecider<State, Command, Rejection> = {
    submit: (id, command, { idempotencyKey, caller = "", traceparent = null } = {}) => {
      const fingerprint = CanonicalJson.text([id, command]);
      if (fingerprint === null) return Promise.reject(new SagaError("Misuse", `decider ${name}: the command is no JSON`));
      const idempotency = idempotencyKey === undefined ? null : { scope: `${name} ${caller}`, key: idempotencyKey, fingerprint };
      const request = Aggregate.request(id, (now: number) => ({ command, now }), { idempotency, traceparent });
      const answered = Effect.mapError(mailbox.submit(request), (failure) =>
        failure._tag === "Poisoned" ? (bugs.get(request) ?? failure) : failure,
      );
      return session.call(Effect.map(answered, answerOf));
    },
    find: (id) =>
      session.call(
        Effect.gen(function* () {
          const found = (yield* (yield* DocumentStore).find(name, [id])).get(id);
          return found === undefined ? null : yield* decode(found.state);
        }),
      ),
  };
  return decider;
});

/** A command and its time. */
interface Timed<Command> {
  readonly command: Command;
  readonly now: number;
}

type Input<Command> = Aggregate.Input<(now: number) => Timed<Command>>;

/** What is stored under an idempotency key. */
type Kept<State, Rejection> = { readonly state: State } | { readonly rejection: Rejection };

/** Of a request that cannot be decided, what its decider threw. */
type Bugs = WeakMap<object, SagaError>;

type Revised<State> = DocumentAggregate.Revised<State>;

const aggregateOf = <State, Command, Event, Rejection>(
  options: DeciderOptions<State, Command, Event, Rejection>,
  bugs: Bugs,
): Aggregate.Aggregate<Revised<State>, (now: number) => Timed<Command>, Kept<State, Rejection>, DocumentStore> => {
  const { name, initial, evolve, announce = () => [] } = options;
  const state = shape(options.state);
  const aggregate = DocumentAggregate.make<State, Timed<Command> | null, Event, Rejection>({
    name,
    decider: {
      initial,
      evolve,
      decide: (current, timed) => resultOf(timed === null ? accept() : options.decide(current, timed.command, timed.now)),
    },
    schema: state,
    rejection: shape(options.rejection),
    fromMessage: () => null,
    fromTimer: () => null,
    react: (events, after) => ({ drafts: announce(events, after), timers: [] }),
  });
  const json = Schema.toCodecJson(Schema.Union([Schema.Struct({ state }), Schema.Struct({ rejection: shape(options.rejection) })]));
  return {
    ...aggregate,
    decide: (revised, input, now) => {
      const decided = Result.getOrThrowWith(
        Result.try(() => aggregate.decide(revised, input, now)),
        (error) => {
          const bug = new SagaError("Refused", `decider ${name}: one of its functions threw (${nameOf(error)})`, { cause: error });
          bugs.set(input, bug);
          return bug;
        },
      );
      const answer = decided.answer._tag === "Rejected" ? { rejection: decided.answer.rejection } : { state: decided.state.state };
      return { ...decided, answer };
    },
    encodeAnswer: Schema.encodeSync(json),
    decodeAnswer: Schema.decodeUnknownSync(json),
  };
};

const resultOf = <Event, Rejection>(verdict: Verdict<Event, Rejection>): Result.Result<ReadonlyArray<Event>, Rejection> =>
  verdict._tag === "Success" ? Result.succeed(verdict.success) : Result.fail(verdict.failure);

const answerOf = <State, Rejection>(handled: CommandHandler.Handled<Kept<State, Rejection>>): Answer<State, Rejection> => {
  switch (handled._tag) {
    case "Answered": {
      const { answer, repeated } = handled;
      return "state" in answer
        ? { _tag: "Accepted", state: answer.state, repeated }
        : { _tag: "Rejected", rejection: answer.rejection, repeated };
    }
    case "KeyReused":
    case "InFlight":
      return { _tag: handled._tag };
    case "Duplicate":
      throw new Error("a request is no message");
  }
};
