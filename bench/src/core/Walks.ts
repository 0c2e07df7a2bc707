/**
 * What both order machines do: whole lives of an order, from nothing to its end, and what is left of it. The same commands, the
 * same order data, the same transitions; what came out is compared by a digest.
 */

export const ORDER = {
  id: "order-1",
  customerId: "customer-1",
  lines: [{ sku: "tshirt", name: "T-shirt", quantity: 2, unitPrice: { amount: 1_250, currency: "EUR" } }],
  paymentMethod: "token-1",
  cancelPolicy: "compensating",
} as const;

export type Move =
  | { readonly type: "Place" | "StartCheckout" | "CompleteCheckout" | "ConfirmPayment" | "Finish" | "Refund" | "Cancel" }
  | { readonly type: "Close"; readonly reason: "paymentDeclined" | "fulfillmentFailed" | "outOfStock" };

const checkout: ReadonlyArray<Move> = [{ type: "Place" }, { type: "StartCheckout" }, { type: "CompleteCheckout" }];

/** Every end that an order has, and a cancel that is asked for again. */
export const WALKS: ReadonlyArray<ReadonlyArray<Move>> = [
  [...checkout, { type: "ConfirmPayment" }, { type: "Finish" }],
  [...checkout, { type: "ConfirmPayment" }, { type: "Close", reason: "fulfillmentFailed" }, { type: "Refund" }],
  [{ type: "Place" }, { type: "StartCheckout" }, { type: "Close", reason: "paymentDeclined" }],
  [...checkout, { type: "Cancel" }, { type: "Cancel" }, { type: "Close", reason: "outOfStock" }],
  [{ type: "Place" }, { type: "Cancel" }],
];

export const MOVES = WALKS.reduce((sum, walk) => sum + walk.length, 0);

/** What an order is, as far as both know it. */
export interface End {
  readonly status: string;
  readonly reason: string | null;
  readonly cancelRequested: boolean;
  readonly paid: boolean;
  readonly version: number;
  readonly total: { readonly amount: number };
  readonly history: ReadonlyArray<{ readonly status: string; readonly reason: string | null; readonly at: number }>;
}

/** FNV-1a over the ends of all walks: 32 bits, so that two processes can compare them. */
export const digest = (ends: ReadonlyArray<End>): number => {
  const text = JSON.stringify(
    ends.map(({ status, reason, cancelRequested, paid, version, total, history }) => [
      [status, reason, cancelRequested, paid, version, total.amount],
      history.map((change) => [change.status, change.reason, change.at]),
    ]),
  );
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0;
  return hash;
};

/** Rounds of all walks between two looks at the clock: a look costs as much as a transition. */
const WALKS_AT_ONCE = 20;

/** Walks for `millis`. `walkAll` returns the ends of all walks; each time they have to be what they were the first time. */
export const forAWhile = (millis: number, walkAll: () => ReadonlyArray<End>) => {
  const expected = digest(walkAll());
  let walked = 0;
  let wrong = 0;
  const start = performance.now();
  let end = start;
  for (let last: ReadonlyArray<End> = []; end - start < millis; end = performance.now()) {
    for (let index = 0; index < WALKS_AT_ONCE; index++) last = walkAll();
    walked += WALKS_AT_ONCE;
    // One of twenty in full: the comparison is not what is measured.
    if (walked % (WALKS_AT_ONCE * 20) === 0 && digest(last) !== expected) wrong += 1;
  }
  return { done: walked * MOVES, seconds: (end - start) / 1_000, digest: expected, wrong };
};
