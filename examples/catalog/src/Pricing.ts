/** From a cart to line items: names and unit prices are the catalogue's, never the client's. */
import { OrdersApi, Problem } from "@example/contracts";
import type { Order } from "@org/saga-core";
import { Effect } from "effect";
import { Catalogue } from "./Catalogue.ts";

/** Line items of a cart, same SKUs summed. All unknown SKUs are named at once. */
export const price = Effect.fn("Pricing.price")(function* (
  cart: ReadonlyArray<OrdersApi.CartLine>,
): Effect.fn.Return<ReadonlyArray<Order.OrderLine>, Problem.QuantityTooLarge | Problem.UnknownSku | Problem.Unavailable, Catalogue> {
  const lines = yield* Effect.fromResult(OrdersApi.sumLines(cart));
  const catalogue = yield* Catalogue;
  const products = yield* catalogue
    .find(lines.map(({ sku }) => sku))
    .pipe(Effect.mapError(() => new Problem.Unavailable({ detail: "the catalogue cannot be reached" })));
  const priced: Array<Order.OrderLine> = [];
  for (const { sku, quantity } of lines) {
    const product = products.get(sku);
    if (product !== undefined) priced.push({ sku, quantity, name: product.name, unitPrice: product.unitPrice });
  }
  if (priced.length === lines.length) return priced;
  const errors = cart.flatMap(({ sku }, index): ReadonlyArray<Problem.Flaw> =>
    products.has(sku) ? [] : [{ in: "body", pointer: `/lines/${index}/sku`, detail: `${sku} is not in the catalogue` }],
  );
  return yield* new Problem.UnknownSku({ errors });
});
