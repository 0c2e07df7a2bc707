/**
 * Answers messages out of the stock: the effects of a batch come first, all idempotent per order; then inbox, replies and
 * news in one commit. A crash in between runs the effects again, to the same answers.
 *
 * A duplicate runs its effect, too, and its answer is dropped: an effect that was refused must stay refused, or it would
 * happen without anyone knowing.
 */
import {
  Batch,
  CommandHandler,
  type Inbox,
  type Message,
  type Outbox,
  type StockCommand,
  type StockLedger,
  StockReservation,
  type StoreError,
  type UnitOfWork,
} from "@org/saga-core";
import { Effect, Metric, Result } from "effect";
import * as StockAnswers from "./StockAnswers.ts";
import * as StockNews from "./StockNews.ts";

const notShipped = Metric.counter("saga_shipments_waiting_total", {
  description: "Paid orders whose goods could not leave when asked",
  incremental: true,
});

/** What `MessageConsumer` takes as `handle`; `name` is the consumer's in the inbox. */
export const handle = (name: string) =>
  Batch.isolate(
    name,
    Effect.fnUntraced(function* (
      envelopes: ReadonlyArray<Message.Envelope>,
    ): Effect.fn.Return<ReadonlyArray<"Done">, StoreError, StockReservation | UnitOfWork | Inbox | Outbox> {
      const asked = envelopes.map(StockAnswers.asked).filter((each) => each !== null);
      if (asked.length > 0) {
        const answers = yield* ask(asked);
        const items = asked.map((each): StockNews.Item => {
          const said = answers.get(each);
          return {
            messageId: each.envelope.id,
            cause: CommandHandler.causedBy(each.envelope),
            tellings: said === undefined ? [] : StockAnswers.answer(each, said),
          };
        });
        yield* StockNews.commit(name, items);
      }
      return envelopes.map(() => "Done");
    }),
  );

type Answers = Map<StockAnswers.Asked, StockLedger.Answer>;

const ask = Effect.fn("StockResponder.ask")(function* (asked: ReadonlyArray<StockAnswers.Asked>) {
  const stock = yield* StockReservation;
  const said = yield* stock.execute(asked.map(({ command }) => command));
  const answers: Answers = new Map();
  for (const [index, each] of asked.entries()) {
    const answer = said[index];
    if (answer !== undefined) answers.set(each, answer);
  }
  yield* shutOut(answers);
  yield* shipAnyway(answers);
  return answers;
});

/**
 * A rejected order stays rejected: the release leaves a tombstone. Otherwise a repeated or late reserve could be granted
 * after the coordinator was told that there is nothing, and nobody would give that hold back before its time is over.
 */
const shutOut = Effect.fnUntraced(function* (answers: ReadonlyMap<StockAnswers.Asked, StockLedger.Answer>) {
  const rejected = [...answers].flatMap(([each, said]) => (each._tag === "Reserve" && isRejected(said) ? [each.orderId] : []));
  if (rejected.length === 0) return;
  const stock = yield* StockReservation;
  yield* stock.execute(rejected.map((orderId) => ({ _tag: "Release", orderId })));
});

const isRejected = (said: StockLedger.Answer): boolean =>
  Result.isFailure(said) &&
  (said.failure._tag === "OutOfStock" || said.failure._tag === "UnknownSku" || said.failure._tag === "HoldExpired");

/** A ship whose commit the engine has lost (a fast engine may, the saga has its answer) commits again, then ships. */
const shipAnyway = Effect.fnUntraced(function* (answers: Answers) {
  const stock = yield* StockReservation;
  const lost = [...answers].flatMap(([each, said]) =>
    each._tag === "Ship" && Result.isFailure(said) && said.failure._tag === "NotCommitted" ? [each] : [],
  );
  if (lost.length > 0) {
    const commands = lost.flatMap(({ orderId }): ReadonlyArray<StockCommand> => [
      { _tag: "Commit", orderId },
      { _tag: "Ship", orderId },
    ]);
    const said = yield* stock.execute(commands);
    for (const [index, each] of lost.entries()) {
      const shipped = said[index * 2 + 1];
      if (shipped !== undefined) answers.set(each, shipped);
    }
  }
  for (const [each, said] of answers) {
    if (each._tag !== "Ship" || Result.isSuccess(said)) continue;
    yield* Metric.update(notShipped, 1);
    yield* Effect.logError(`order ${each.orderId} is paid, but its goods cannot leave: ${said.failure._tag}; it is asked for again`);
  }
});
