/** One transaction in the user's hands: statements of their own and messages, committed together or not at all. */
import { Duration, Effect, Result } from "effect";
import type * as Message from "../domain/Message.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import * as Responder from "../flow/Responder.ts";
import { type Cause, causedBy, sendAll } from "../flow/Sending.ts";
import type { Outbox } from "../ports/Outbox.ts";
import type { StoreError } from "../ports/StoreError.ts";
import { Transaction } from "../ports/UnitOfWork.ts";
import type { Database } from "./Database.ts";
import { SagaError, Thrown } from "./SagaError.ts";
import type { Session } from "./Session.ts";

export interface Tx<Sql> {
  /** Statements of one's own: what it is, the adapter says. Await each of them. */
  readonly sql: Sql;
  /** The database's clock, in milliseconds. */
  readonly now: Timestamp;
  /** Writes a message into the outbox: it is published if, and only if, this transaction commits. */
  readonly send: <B>(type: Message.MessageType<B>, body: NoInfer<B>) => void;
}

/** The transaction of a message that is being handled. */
export interface ReplyTx<Sql> extends Tx<Sql> {
  /** Sends the answer to the message: a saga's step hears it as its own. */
  readonly reply: <B>(type: Message.MessageType<B>, body: NoInfer<B>) => void;
}

/** Runs `run` in the open transaction, then writes what it sent. What it throws rolls back. `handled`: the message that led here. */
export const within = Effect.fnUntraced(function* <Sql, Own, A>(
  session: Session<Own>,
  database: Database<Sql, Own>,
  handled: Message.Envelope | null,
  run: (tx: ReplyTx<Sql>) => Promise<A>,
): Effect.fn.Return<A, StoreError | Thrown, Transaction | Outbox | Own> {
  const { now } = yield* Transaction;
  const sql = yield* database.sql;
  const drafts: Array<Message.Draft> = [];
  let isOpen = true;
  const add = (draft: Message.Draft): void => {
    if (!isOpen) throw new SagaError("Misuse", "the transaction has ended");
    drafts.push(draft);
  };
  const send = <B>(type: Message.MessageType<B>, body: NoInfer<B>): void => add(draftOf(type, () => type.draft(body)));
  const reply = <B>(type: Message.MessageType<B>, body: NoInfer<B>): void =>
    add(draftOf(type, () => (handled === null ? type.draft(body) : Responder.reply(type, body, handled))));
  const close = Effect.sync(() => {
    isOpen = false;
  });
  const value = yield* Effect.ensuring(
    Effect.timeoutOrElse(
      session.user(() => run({ sql, now, send, reply })),
      { duration: session.transactionWithin, orElse: () => Effect.fail(tooLong(session.transactionWithin)) },
    ),
    close,
  );
  // Without a cause each message begins a conversation of its own.
  const sent = drafts.map((draft) => ({ cause: handled === null ? begun(draft) : causedBy(handled), drafts: [draft] }));
  yield* sendAll(sent, now);
  return value;
});

const tooLong = (limit: Duration.Input): Thrown =>
  new Thrown(
    new SagaError(
      "Misuse",
      `the transaction was open for ${Duration.format(Duration.fromInputUnsafe(limit))}, and is rolled back: inside, use tx and nothing else of the client, and await what takes long before it`,
    ),
  );

/** `make`, or what is wrong with the body, without its text. */
const draftOf = (type: Message.AnyType, make: () => Message.Draft): Message.Draft => {
  const draft = Result.getOrThrowWith(
    Result.try(make),
    (cause) => new SagaError("Misuse", `${type.type}: its body is not what its declaration says, or no JSON`, { cause }),
  );
  if (!isKey(draft.key)) throw new SagaError("Misuse", `${type.type}: its body has no key: what \`key\` returns has to be a text`);
  return draft;
};

/** Bodies of programs without types. */
const isKey = (key: unknown): boolean => typeof key === "string" && key !== "";

const begun = ({ key }: Message.Draft): Cause => ({ correlationId: key, causationId: null, traceparent: null, tracestate: null });
