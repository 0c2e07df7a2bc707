/** Can the customer pay? Asked of the provider, changes nothing. A provider that is away makes the question come again. */
import { Effect, type Exit } from "effect";
import {
  type Batch,
  CheckoutMessages as M,
  type Inbox,
  type Message,
  type Outbox,
  Responder,
  StoreError,
  type UnitOfWork,
} from "@org/saga-core";
import { PaymentProvider } from "@example/contracts";

/** Questions under way at a time. */
const CHECKS_MAX = 16;

const check = Effect.fnUntraced(function* (
  envelope: Message.Envelope,
): Effect.fn.Return<ReadonlyArray<Message.Draft>, StoreError, PaymentProvider> {
  if (!M.CheckBalance.is(envelope)) return [];
  const { orderId, customerId, amount } = envelope.body;
  const provider = yield* PaymentProvider;
  const balance = yield* provider.balance(customerId).pipe(
    Effect.map((available) => available.currency === amount.currency && available.amount >= amount.amount),
    // A customer whom the provider does not want to know has nothing to spend there.
    Effect.catchTag("ProviderRejected", () => Effect.succeed(false)),
    Effect.mapError((error) => new StoreError({ reason: "Unavailable", operation: "PaymentProvider.balance", message: error._tag })),
  );
  return [Responder.reply(balance ? M.BalanceSufficient : M.BalanceInsufficient, { orderId }, envelope)];
});

/** One exit a question, in order. */
export const handle: (
  envelopes: ReadonlyArray<Message.Envelope>,
) => Effect.Effect<ReadonlyArray<Exit.Exit<unknown, Batch.Failure>>, never, PaymentProvider | UnitOfWork | Inbox | Outbox> =
  Responder.handle({
    name: "payment-balance",
    respond: (envelopes: ReadonlyArray<Message.Envelope>) => Effect.forEach(envelopes, check, { concurrency: CHECKS_MAX }),
  });
