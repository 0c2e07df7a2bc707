/** What every contender does: four steps an order, each of which gives back the order's id and a time. */

export const STEPS = ["reserve", "authorize", "capture", "ship"] as const;

export interface Order {
  readonly id: string;
  readonly customer: string;
  readonly lines: ReadonlyArray<{ readonly sku: string; readonly quantity: number }>;
  readonly amount: number;
}

export const order = (id: string): Order => ({ id, customer: "customer-1", lines: [{ sku: "tshirt", quantity: 2 }], amount: 2_500 });
