/** Identity of an order: the key of its messages, its stock hold and its saga. */
import { Schema } from "effect";
import { IDENTIFIER_MAX } from "../Limits.ts";

const identifier = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._-]*$/), Schema.isMaxLength(IDENTIFIER_MAX));

export const OrderId = identifier.pipe(Schema.brand("OrderId"));
export type OrderId = typeof OrderId.Type;

export const CustomerId = identifier.pipe(Schema.brand("CustomerId"));
export type CustomerId = typeof CustomerId.Type;
