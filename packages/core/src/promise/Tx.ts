/** One transaction in the user's hands: statements of their own and messages, committed together or not at all. */
import { Effect } from "effect";
import type * as Message from "../domain/Message.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { type Cause, sendAll } from "../flow/Sending.ts";
import type { Outbox } from "../ports/Outbox.ts";
import type { StoreError } from "../ports/StoreError.ts";
import { Transaction } from "../ports/UnitOfWork.ts";
import type { Database } from "./Database.ts";
import { SagaError, type Thrown } from "./SagaError.ts";
import type { Session } from "./Session.ts";

export interface Tx<Sql> {
  /** Statements of one's own: what it is, the adapter says. Await each of them. */
  readonly sql: Sql;
  /** The database's clock, in milliseconds. */
  readonly now: Timestamp;
  /** Writes a message into the outbox: it is published if, and only if, this transaction commits. */
  readonly send: <B>(type: Message.MessageType<B>, body: NoInfer<B>) => void;
}

/** Runs `run` in the open transaction, then writes what it sent. What it throws rolls back. */
export const within = Effect.fnUntraced(function* <Sql, Own, A>(
  session: Session<Own>,
  database: Database<Sql, Own>,
  cause: Cause | null,
  run: (tx: Tx<Sql>) => Promise<A>,
): Effect.fn.Return<A, StoreError | Thrown, Transaction | Outbox | Own> {
  const { now } = yield* Transaction;
  const sql = yield* database.sql;
  const drafts: Array<Message.Draft> = [];
  let isOpen = true;
  const send = <B>(type: Message.MessageType<B>, body: NoInfer<B>): void => {
    if (!isOpen) throw new SagaError("Misuse", "the transaction has ended");
    drafts.push(type.draft(body));
  };
  const close = Effect.sync(() => {
    isOpen = false;
  });
  const value = yield* Effect.ensuring(
    session.user(() => run({ sql, now, send })),
    close,
  );
  // Without a cause each message begins a conversation of its own.
  const sent = drafts.map((draft) => ({ cause: cause ?? causeOf(draft), drafts: [draft] }));
  yield* sendAll(sent, now);
  return value;
});

const causeOf = ({ key }: Message.Draft): Cause => ({ correlationId: key, causationId: null, traceparent: null, tracestate: null });
