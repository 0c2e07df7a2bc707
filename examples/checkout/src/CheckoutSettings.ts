/** What may be set of the checkout service. Times in milliseconds. */
import * as Payment from "./Payment.ts";

export interface Settings extends Payment.Policy {
  /** How long a call to the provider may be under way before it counts as lost; above the client's own timeout. */
  readonly callLeaseMillis: number;
  /** Calls to the provider at a time. */
  readonly callsMax: number;
}

export const defaults: Settings = {
  ...Payment.defaults,
  // The longest call takes 30 s.
  callLeaseMillis: 35_000,
  callsMax: 32,
};
