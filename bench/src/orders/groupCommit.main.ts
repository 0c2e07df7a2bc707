/** The contender: the mailbox, and PostgreSQL's stores. An order, its lines, history, saga, outbox, timer and key: one commit, shared. */
import { Aggregate, Checkout, CommandHandler, Mailbox, type OrderStore, SagaRunner, type SagaStore } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer, Result } from "effect";
import * as OrdersHttp from "./OrdersHttp.ts";

/** As in the shop: an order rests for half a second before its checkout starts. */
const CANCEL_WINDOW_MS = 500;

const makeDurable = Effect.gen(function* () {
  const mailbox = yield* Mailbox.make<
    Aggregate.Input<SagaRunner.Command>,
    CommandHandler.Handled<SagaRunner.Answer>,
    CommandHandler.Ports | OrderStore | SagaStore
  >({
    name: "orders",
    key: Aggregate.keyOf,
    run: CommandHandler.runBatch(SagaRunner.make(Checkout.make({ cancelWindowMillis: CANCEL_WINDOW_MS }))),
  });
  const place: OrdersHttp.MakeDurable = (order, key) => {
    const command: SagaRunner.Command = (now) => ({ ...order, _tag: "Place", now });
    const idempotency = { scope: order.customerId, key, fingerprint: key };
    return mailbox.submit(Aggregate.request(order.id, command, { idempotency })).pipe(
      Effect.orDie,
      Effect.flatMap((handled) =>
        handled._tag === "Answered" && handled.answer !== null && Result.isSuccess(handled.answer)
          ? Effect.succeed(handled.answer.success)
          : Effect.die(new Error("not placed")),
      ),
    );
  };
  return place;
});

const stores = PgStores.layer({ url: process.env["BENCH_PG_URL"] ?? "", schema: "group_commit" });

OrdersHttp.serve(Layer.effect(OrdersHttp.Durable, makeDurable).pipe(Layer.provide(stores)));
