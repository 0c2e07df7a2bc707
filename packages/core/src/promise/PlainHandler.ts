/**
 * A Promise handler of messages. Each message is handled in a transaction of its own, in which the inbox admits it: the handler's
 * statements and messages are committed once, however often the message comes.
 *
 * Messages are stored first (`StoredConsumer`): one whose handler throws is tried again in the background, later each time, while the
 * later messages of its key wait and other keys go on; after `attempts` it is a dead letter.
 */
import { Cause, Effect } from "effect";
import type * as Message from "../domain/Message.ts";
import * as Mailbox from "../flow/Mailbox.ts";
import * as StoredConsumer from "../flow/StoredConsumer.ts";
import { Inbox } from "../ports/Inbox.ts";
import { describeCause, StoreError } from "../ports/StoreError.ts";
import { UnitOfWork } from "../ports/UnitOfWork.ts";
import type { Database } from "./Database.ts";
import { nameOf, SagaError } from "./SagaError.ts";
import * as SagaWiring from "./SagaWiring.ts";
import type { Session } from "./Session.ts";
import * as Tx from "./Tx.ts";

/** Handlers of one group at a time in one process, unless it is said: each holds a connection. */
export const HANDLERS_MAX = 4;

/** A message as a handler gets it. */
export interface Received<B> {
  /** The same each time it comes. */
  readonly id: string;
  readonly type: string;
  readonly key: string;
  /** Milliseconds. */
  readonly occurredAt: number;
  readonly correlationId: string;
  readonly body: B;
}

/** What is done about a message. */
export interface Handler<Sql> {
  readonly type: Message.AnyType;
  readonly handle: (envelope: Message.Envelope, tx: Tx.ReplyTx<Sql>) => Promise<void>;
}

/** Handles messages of `type`. To throw rolls back what `tx` did, and has the message come again. */
export const handler = <B, Sql>(
  type: Message.MessageType<B>,
  handle: (message: Received<B>, tx: Tx.ReplyTx<Sql>) => Promise<void>,
): Handler<Sql> => ({
  type,
  handle: async (envelope, tx) => {
    if (type.is(envelope)) await handle(envelope, tx);
  },
});

export interface HandlerOptions<Sql> {
  /** Consumer group: what one process of it has handled, no other one gets. All its handlers are named at once. */
  readonly group: string;
  readonly handlers: ReadonlyArray<Handler<Sql>>;
  /** Before it is a dead letter. */
  readonly attempts?: number;
  /** At a time, in this process. */
  readonly concurrency?: number;
}

export const make = Effect.fnUntraced(function* <Own, Sql>(
  session: Session<Own>,
  database: Database<Sql, Own>,
  catalogue: Message.Catalogue,
  { group, handlers, attempts, concurrency = HANDLERS_MAX }: HandlerOptions<Sql>,
) {
  const problem = problemOf(catalogue, handlers);
  if (problem !== null) return yield* Effect.fail(new SagaError("Misuse", `group ${group}: ${problem}`));
  const byType = new Map(handlers.map((each) => [each.type.type, each.handle]));
  const handleOne = Effect.fnUntraced(function* (envelope: Message.Envelope) {
    const inbox = yield* Inbox;
    const [verdict] = yield* inbox.admit(group, [envelope.id]);
    const handle = byType.get(envelope.type);
    if (verdict !== "First" || handle === undefined) return;
    yield* Effect.catchTag(
      Tx.within(session, database, envelope, (tx) => handle(envelope, tx)),
      "Thrown",
      ({ error }) => (error instanceof SagaError && error.isRetryable ? outage(group, error) : bug(group, envelope, error)),
    );
  });
  const mailbox = yield* session.inner(
    Mailbox.make({
      name: group,
      key: ({ key }: Message.Envelope) => key,
      // A transaction each: a handler waits for its own statements.
      batchMax: 1,
      inFlightMax: concurrency,
      run: Effect.fnUntraced(function* (envelopes: ReadonlyArray<Message.Envelope>) {
        const unitOfWork = yield* UnitOfWork;
        yield* unitOfWork.commit(Effect.forEach(envelopes, handleOne, { discard: true }));
        return envelopes;
      }),
    }),
  );
  yield* session.source(
    StoredConsumer.layer({
      group,
      catalogue,
      types: handlers.map(({ type }) => type),
      handle: mailbox.submitAll,
      ...(attempts === undefined ? {} : { attemptsMax: attempts }),
    }),
  );
});

/** What the handler threw is named, in the log and with the message, and never quoted. */
const bug = (group: string, { id, type }: Message.Envelope, error: unknown) =>
  Effect.andThen(
    Effect.logWarning(`${group}: the handler of ${type} threw at message ${id}: ${describeCause(Cause.die(error))}`),
    Effect.die(new SagaError("Refused", `the handler of ${type} threw (${nameOf(error)})`, { cause: error })),
  );

const problemOf = <Sql>(catalogue: Message.Catalogue, handlers: ReadonlyArray<Handler<Sql>>): string | null => {
  const types = handlers.map(({ type }) => type.type);
  if (types.length === 0) return "it has no handlers";
  const twice = SagaWiring.repeated(types);
  if (twice.length > 0) return `it has two handlers of ${SagaWiring.listed(twice)}: name one for each type`;
  const unknown = types.filter((type) => !catalogue.types.has(type));
  return unknown.length === 0 ? null : `the client does not know ${SagaWiring.listed(unknown)}: name them among its messages`;
};

/** What may succeed later is not the message's fault: it counts as no attempt. */
const outage = (group: string, { message }: SagaError) =>
  Effect.fail(new StoreError({ reason: "Unavailable", operation: `${group}.handle`, message }));
