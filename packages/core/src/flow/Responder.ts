/**
 * A participant whose effect is idempotent and lives outside of the transaction (a stock engine, a read from elsewhere):
 * first the effects of a batch, then inbox and replies in one commit. A crash in between runs the effects again, which
 * answer the same; the inbox sees to it that the replies are sent once.
 *
 * A duplicate runs its effect, too, and its answer is dropped: an effect that was refused must stay refused, or it would
 * happen without anyone knowing.
 */
import { Effect } from "effect";
import type * as Message from "../domain/Message.ts";
import { Inbox } from "../ports/Inbox.ts";
import type { Outbox } from "../ports/Outbox.ts";
import type { StoreError } from "../ports/StoreError.ts";
import { Transaction, UnitOfWork } from "../ports/UnitOfWork.ts";
import * as Batch from "./Batch.ts";
import { causedBy, sendAll } from "./CommandHandler.ts";

export interface Options<R> {
  /** Consumer name in the inbox. */
  readonly name: string;
  /** Idempotent. The replies to each message, in order. */
  readonly respond: (
    envelopes: ReadonlyArray<Message.Envelope>,
  ) => Effect.Effect<ReadonlyArray<ReadonlyArray<Message.Draft>>, StoreError, R>;
}

/** A reply under the key of the step that it answers. */
export const reply = <B>(type: Message.MessageType<B>, body: NoInfer<B>, to: Message.Envelope): Message.Draft =>
  type.draft(body, { stepKey: to.stepKey ?? undefined, saga: to.saga ?? undefined });

/** Runs a batch: effects, then one commit. One exit per message. What `MessageConsumer` takes as `handle`. */
export const handle = <R>(options: Options<R>) => Batch.isolate(options.name, respondAll(options));

const respondAll = <R>(options: Options<R>) =>
  Effect.fnUntraced(function* (
    envelopes: ReadonlyArray<Message.Envelope>,
  ): Effect.fn.Return<ReadonlyArray<"Done">, StoreError, R | UnitOfWork | Inbox | Outbox> {
    const replies = yield* options.respond(envelopes);
    const unitOfWork = yield* UnitOfWork;
    yield* unitOfWork.commit(
      Effect.gen(function* () {
        const { now } = yield* Transaction;
        const inbox = yield* Inbox;
        const verdicts = yield* inbox.admit(
          options.name,
          envelopes.map(({ id }) => id),
        );
        const sent = envelopes.flatMap((envelope, index) =>
          verdicts[index] === "First" ? [{ cause: causedBy(envelope), drafts: replies[index] ?? [] }] : [],
        );
        yield* sendAll(sent, now);
      }),
    );
    return envelopes.map(() => "Done");
  });
