/**
 * Money in minor units (cents) with its currency. Never a float, never negative, bounded by `MONEY_MAX`.
 */
import { Result, Schema } from "effect";
import { MONEY_MAX } from "./Limits.ts";

/** ISO 4217 code, three upper-case letters. */
export const Currency = Schema.String.check(Schema.isPattern(/^[A-Z]{3}$/, { expected: "three capital letters, as EUR" })).pipe(
  Schema.brand("Currency"),
);
export type Currency = typeof Currency.Type;

/** Whole minor units, 0 to `MONEY_MAX`. */
export const Amount = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: MONEY_MAX }));

export const Money = Schema.Struct({ amount: Amount, currency: Currency });
export type Money = typeof Money.Type;

/** Two currencies in one sum. */
export interface CurrencyMismatch {
  readonly _tag: "CurrencyMismatch";
  readonly left: Currency;
  readonly right: Currency;
}

/** `amount` minor units of `currency`. Throws on a value outside the bounds: for literals, not for input. */
export const of = (amount: number, currency: string): Money => ({
  amount: Schema.decodeUnknownSync(Amount)(amount),
  currency: Schema.decodeUnknownSync(Currency)(currency),
});

export const zero = (currency: Currency): Money => ({ amount: 0, currency });

/** Sum of two amounts of one currency. */
export const add = (left: Money, right: Money): Result.Result<Money, CurrencyMismatch> =>
  left.currency === right.currency
    ? Result.succeed({ amount: left.amount + right.amount, currency: left.currency })
    : Result.fail({ _tag: "CurrencyMismatch", left: left.currency, right: right.currency });

/** `quantity` times a unit price. */
export const times = (unit: Money, quantity: number): Money => ({ amount: unit.amount * quantity, currency: unit.currency });

export const equals = (left: Money, right: Money): boolean => left.amount === right.amount && left.currency === right.currency;
