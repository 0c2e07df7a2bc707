/**
 * Names as records keep them, looked at once more: callers without types bring anything. An engine that took a number, or a name
 * with a blank, would keep a record that it cannot read again, and with it the units of the order, or all books of the SKU.
 *
 * As `OrderId`, `CustomerId`, `Sku` and `Warehouse` have them; without a schema, because each reservation is looked at.
 */
import { IDENTIFIER_MAX, IDENTIFIER_PATTERN, SHORT_NAME_MAX } from "../Limits.ts";

/** Of an order or a buyer. */
export const isIdentifier = (name: unknown): boolean => isName(name, IDENTIFIER_MAX);

/** Of a SKU or a warehouse. */
export const isShortName = (name: unknown): boolean => isName(name, SHORT_NAME_MAX);

const isName = (name: unknown, max: number): boolean => typeof name === "string" && name.length <= max && IDENTIFIER_PATTERN.test(name);
