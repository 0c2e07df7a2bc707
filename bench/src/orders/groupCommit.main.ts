/**
 * The contender: the mailbox, and PostgreSQL's stores. The same rows as the peers write (key, order, lines, history, outbox),
 * in commits that are shared.
 */
import { Aggregate, CheckoutMessages, CommandHandler, Decider, Mailbox, Order, OrderId, OrderStore } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer, Result } from "effect";
import * as OrdersHttp from "./OrdersHttp.ts";

type Command = (now: number) => Order.Command;
type Answer = Result.Result<Order.Order, Order.Rejection>;

/** Orders alone. Messages and timers do not come. */
const orders: Aggregate.Aggregate<Order.State, Command, Answer, OrderStore> = {
  name: "orders",
  initial: null,
  load: (keys) => Effect.flatMap(OrderStore, (store) => store.load(keys.map((key) => OrderId.make(key)))),
  save: (changes) =>
    Effect.flatMap(OrderStore, (store) => store.save(changes.flatMap(({ before, after }) => (after === null ? [] : [{ before, after }])))),
  begins: () => true,
  decide: (state, input, now) => {
    const nothing = { state, drafts: [], timers: [] };
    if (input._tag !== "Request") return { ...nothing, answer: Result.fail({ _tag: "OrderNotFound" }) };
    const decided = Decider.run(Order.decider, state, input.command(now));
    if (Result.isFailure(decided)) return { ...nothing, answer: Result.fail(decided.failure) };
    const order = decided.success.state;
    if (order === null) return { ...nothing, answer: Result.fail({ _tag: "OrderNotFound" }) };
    const { id: orderId, customerId, lines, total } = order;
    const created = CheckoutMessages.OrderCreated.draft({ orderId, customerId, lines, total, at: now });
    return { state: order, drafts: [created], timers: [], answer: Result.succeed(order) };
  },
  encodeAnswer: (answer) => (Result.isSuccess(answer) ? answer.success : null),
  // Keys never come twice here.
  decodeAnswer: () => Result.fail({ _tag: "OrderNotFound" }),
};

const makeDurable = Effect.gen(function* () {
  const mailbox = yield* Mailbox.make<Aggregate.Input<Command>, CommandHandler.Handled<Answer>, CommandHandler.Ports | OrderStore>({
    name: "orders",
    key: Aggregate.keyOf,
    run: CommandHandler.runBatch(orders),
  });
  const place: OrdersHttp.MakeDurable = (order, key) => {
    const command: Command = (now) => ({ ...order, _tag: "Place", now });
    const idempotency = { scope: order.customerId, key, fingerprint: key };
    return mailbox.submit(Aggregate.request(order.id, command, { idempotency })).pipe(
      Effect.orDie,
      Effect.flatMap((handled) =>
        handled._tag === "Answered" && Result.isSuccess(handled.answer)
          ? Effect.succeed(handled.answer.success)
          : Effect.die(new Error("not placed")),
      ),
    );
  };
  return place;
});

const stores = PgStores.layer({ url: process.env["BENCH_PG_URL"] ?? "", schema: "group_commit" });

OrdersHttp.serve(Layer.effect(OrdersHttp.Durable, makeDurable).pipe(Layer.provide(stores)));
