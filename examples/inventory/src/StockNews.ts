/**
 * What the stock's answers are told as, once the stock has changed: replies to whom asked by message, and news to the world.
 *
 * - A reply is sent with the admission of its message (inbox): once per message.
 * - News is told once per fact (`released:<order>:<reason>`), whoever asked, and how often, or swept (`HoldSweeper`): a fact is
 *   admitted to the inbox like a message, in the commit of its event. For as long as the inbox remembers; after that a
 *   repetition may be told again.
 * - Stock and news are two commits, in this order: news is never of something that did not happen. Who asked is answered after
 *   both. If the process dies in between, it is told when it is asked again, and never if nobody does.
 */
import {
  CommandHandler,
  HoldSweeper,
  Inbox,
  type Message,
  type OrderId,
  type Outbox,
  type StoreError,
  Transaction,
  UnitOfWork,
} from "@org/saga-core";
import { Effect } from "effect";

export type Telling =
  /** `fact`: what need not be told as news any more. */
  | { readonly _tag: "Reply"; readonly draft: Message.Draft; readonly fact: string | null }
  /** `about`: the order that it is about, if another one than the item's was the cause. */
  | { readonly _tag: "News"; readonly draft: Message.Draft; readonly fact: string; readonly about?: OrderId };

export interface Item {
  /** The message that was handled; null for a request over HTTP. */
  readonly messageId: string | null;
  readonly cause: ReturnType<typeof CommandHandler.causedBy>;
  readonly tellings: ReadonlyArray<Telling>;
}

/** Admits the messages and the facts, and sends what they are the first to tell: one commit. */
export const commit = Effect.fn("StockNews.commit")(function* (
  consumer: string,
  items: ReadonlyArray<Item>,
): Effect.fn.Return<void, StoreError, UnitOfWork | Inbox | Outbox> {
  if (items.length === 0) return;
  const unitOfWork = yield* UnitOfWork;
  yield* unitOfWork.commit(
    Effect.gen(function* () {
      const { now } = yield* Transaction;
      const firsts = yield* firstsOf(consumer, items);
      const facts = firsts.flatMap(({ tellings }) => tellings.flatMap(({ fact }) => (fact === null ? [] : [fact])));
      const isNew = yield* admitted(HoldSweeper.TOLD, facts);
      yield* CommandHandler.sendAll(
        firsts.flatMap(({ cause, tellings }) =>
          tellings.flatMap((telling) => {
            const { _tag, draft, fact } = telling;
            const isFirst = fact === null || isNew.delete(fact);
            if (_tag === "Reply") return [{ cause, drafts: [draft] }];
            const { about = cause.correlationId } = telling;
            return isFirst ? [{ cause: { ...cause, correlationId: about }, drafts: [draft] }] : [];
          }),
        ),
        now,
      );
    }),
  );
});

/** Without the messages that were handled before. */
const firstsOf = Effect.fnUntraced(function* (consumer: string, items: ReadonlyArray<Item>) {
  const isNew = yield* admitted(
    consumer,
    items.flatMap(({ messageId }) => (messageId === null ? [] : [messageId])),
  );
  return items.filter(({ messageId }) => messageId === null || isNew.delete(messageId));
});

/** Those that were not admitted before. */
const admitted = Effect.fnUntraced(function* (consumer: string, ids: ReadonlyArray<string>) {
  if (ids.length === 0) return new Set<string>();
  const inbox = yield* Inbox;
  const verdicts = yield* inbox.admit(consumer, ids);
  return new Set(ids.filter((_, index) => verdicts[index] === "First"));
});
