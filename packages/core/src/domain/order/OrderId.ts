/** Identity of an order: the key of its messages, its stock hold and its saga. */
import { Schema } from "effect";
import { IDENTIFIER_EXPECTED, IDENTIFIER_MAX, IDENTIFIER_PATTERN } from "../Limits.ts";

const identifier = Schema.String.check(
  Schema.isPattern(IDENTIFIER_PATTERN, { expected: IDENTIFIER_EXPECTED }),
  Schema.isMaxLength(IDENTIFIER_MAX),
);

export const OrderId = identifier.pipe(Schema.brand("OrderId"));
export type OrderId = typeof OrderId.Type;

export const CustomerId = identifier.pipe(Schema.brand("CustomerId"));
export type CustomerId = typeof CustomerId.Type;
