/** What a user's file of sagas looks like to `saga check`: exports, of which some are sagas. */
import { Checkout } from "@org/saga-core";

export const Order = Checkout.make();
export const draft = { phase: "open", steps: [] };
export const timeout = Checkout.defaults.stepTimeoutMillis;
