/** Explores the checkout saga once: a process that has compiled nothing yet, as a unit test has not. */
import { Checkout, Saga } from "@org/saga-core";
import * as Serve from "../Serve.ts";

Serve.serve({
  check: async () => {
    const start = performance.now();
    const { states, transitions } = Saga.check(Checkout.make());
    return { seconds: (performance.now() - start) / 1_000, states, transitions };
  },
});
