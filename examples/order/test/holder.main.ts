/**
 * An order service that stops in the middle of a commit, with the key claimed and the order not yet written, says so on
 * stdout, and holds it until it is killed: `node holder.main.ts <url> <schema> <key as JSON>`.
 */
import { Effect, Layer, Schema } from "effect";
import { CustomerId, Money, OrderId, OrderStore, Quantity, Sku } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { OrderService } from "@example/order";

const Key = Schema.fromJsonString(Schema.Struct({ scope: Schema.String, key: Schema.String, fingerprint: Schema.String }));

const [url = "", schema = "", key = ""] = process.argv.slice(2);

const stuck = Layer.effect(
  OrderStore,
  Effect.map(OrderStore, (store) => ({
    ...store,
    save: () =>
      Effect.andThen(
        Effect.sync(() => process.stdout.write("claimed\n")),
        Effect.never,
      ),
  })),
);

const stores = PgStores.layer({ url, schema });

await Effect.runPromise(
  Effect.gen(function* () {
    const orders = yield* OrderService.Orders;
    yield* orders.place(
      {
        id: OrderId.make("held-order"),
        customerId: CustomerId.make("ada"),
        lines: [{ sku: Sku.make("mug"), name: "Mug", quantity: Quantity.make(2), unitPrice: Money.of(899, "EUR") }],
        paymentMethod: "pm_success",
        cancelPolicy: "createdOnly",
      },
      yield* Schema.decodeUnknownEffect(Key)(key),
    );
  }).pipe(Effect.provide(Layer.provide(OrderService.layer(), Layer.provideMerge(stuck, stores))), Effect.scoped),
);
