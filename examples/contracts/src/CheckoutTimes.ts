/** The times of a checkout, from the environment: they fit each other, or the variable that does not is named. */
import { Checkout } from "@org/saga-core";
import { Result } from "effect";
import { type Environment, type ServiceConfigError, whole, wrong } from "./Environment.ts";
import { CALL_TIMEOUT_MAX_MS } from "./PaymentProvider.ts";
import type { VariableName } from "./Variables.ts";

/** In milliseconds. */
export interface CheckoutTimes {
  readonly orderCancelWindowMillis: number;
  readonly checkoutStepTimeoutMillis: number;
  readonly holdTtlMillis: number;
  readonly payment: {
    /** One call to the provider. */
    readonly callTimeoutMillis: number;
    /** An authorization or capture that is not known by then is canceled. */
    readonly deadlineMillis: number;
  };
}

/** The longest time that makes sense here, in milliseconds: a day. */
export const DAY_MS = 86_400_000;

export const parse = (environment: Environment): Result.Result<CheckoutTimes, ServiceConfigError> =>
  Result.gen(function* () {
    const millis = (name: VariableName, minimum: number, maximum: number = DAY_MS) => whole(environment, name, minimum, maximum);
    const callTimeoutMillis = yield* millis("PAYMENT_CALL_TIMEOUT_MS", 1, CALL_TIMEOUT_MAX_MS);
    const deadlineMillis = yield* millis("PAYMENT_DEADLINE_MS", 1);
    if (deadlineMillis <= callTimeoutMillis) {
      return yield* wrong(
        "PAYMENT_DEADLINE_MS",
        `is not above PAYMENT_CALL_TIMEOUT_MS (${callTimeoutMillis}): no call could be settled within it; raise it`,
      );
    }
    const times: CheckoutTimes = {
      orderCancelWindowMillis: yield* millis("ORDER_CANCEL_WINDOW_MS", 0),
      checkoutStepTimeoutMillis: yield* millis("CHECKOUT_STEP_TIMEOUT_MS", 1),
      holdTtlMillis: yield* millis("STOCK_HOLD_TTL_MS", 1),
      payment: { callTimeoutMillis, deadlineMillis },
    };
    const minimum = Checkout.holdMinimumMillis(optionsOf(times));
    if (times.holdTtlMillis < minimum) {
      return yield* wrong(
        "STOCK_HOLD_TTL_MS",
        `is ${times.holdTtlMillis}, but has to be at least ${minimum} with CHECKOUT_STEP_TIMEOUT_MS ${times.checkoutStepTimeoutMillis} ` +
          `and PAYMENT_DEADLINE_MS ${deadlineMillis}, or a hold may end before its stock is committed: raise it, or lower those`,
      );
    }
    return times;
  });

/** What the checkout goes by. A payment may take as long as its two deadlines and then some. */
export const optionsOf = (times: CheckoutTimes): Checkout.Options => ({
  cancelWindowMillis: times.orderCancelWindowMillis,
  holdTtlMillis: times.holdTtlMillis,
  stepTimeoutMillis: times.checkoutStepTimeoutMillis,
  paymentTimeoutMillis: 2 * times.payment.deadlineMillis + times.checkoutStepTimeoutMillis,
});
