/**
 * Every bound of the domain, with its unit and its reason. A limit is part of the contract: what is above it is refused
 * with a clear error instead of being carried along.
 */

/** Line items of one order. A cart above this is an import job, not an order. */
export const ORDER_LINES_MAX = 100;

/** Units of one SKU in one order; keeps every sum far below 2^53. */
export const QUANTITY_MAX = 1_000_000;

/** Minor units of one amount: 10^12 (ten billion euros). Times ORDER_LINES_MAX it is still a safe integer. */
export const MONEY_MAX = 1_000_000_000_000;

/** Characters of an identifier (order, customer, SKU); fits Debezium's varchar(255) with room for a prefix. */
export const IDENTIFIER_MAX = 128;

/** What an identifier is made of: safe in URLs, topics, keys and logs. */
export const IDENTIFIER_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

const inWords = (max: number): string => `1 to ${max} letters, digits, dots, hyphens and underscores, the first a letter or a digit`;

/** The same in words, for errors. */
export const IDENTIFIER_EXPECTED = inWords(IDENTIFIER_MAX);

/** Characters of a SKU and of a warehouse. */
export const SHORT_NAME_MAX = 64;
export const SHORT_NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
export const SHORT_NAME_EXPECTED = inWords(SHORT_NAME_MAX);

/** Characters of a saga instance's id: it is the key of its messages, Debezium's varchar(255). */
export const INSTANCE_ID_MAX = 255;

/** Characters of a name shown to people. */
export const NAME_MAX = 200;

/** Characters of an idempotency key (IETF draft 07). */
export const IDEMPOTENCY_KEY_MAX = 255;

/** Bytes of one encoded message body; Kafka's default `max.message.bytes` is 1 MiB, and headers need room. */
export const MESSAGE_BYTES_MAX = 900_000;

/** Time-to-live of a stock hold, in milliseconds: ten minutes. */
export const HOLD_TTL_MS = 600_000;

/** Longest time-to-live a hold may ask for, in milliseconds: one day. */
export const HOLD_TTL_MAX_MS = 86_400_000;

/** Units of one SKU on hand: room for a thousand of the largest orders, and sums far below 2^53. */
export const STOCK_MAX = 1_000_000_000;

/** Warehouses that one reservation may name, and that may have one SKU. A decision looks at each of them. */
export const WAREHOUSES_MAX = 32;
