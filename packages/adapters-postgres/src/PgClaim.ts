/**
 * How much of what waits is claimed at once: not only so many messages, but so many bytes. A thousand of the largest would be a gigabyte,
 * and longer on their way than a shard may be owned: claimed again and again, and never done.
 */
import { Limits } from "@org/saga-core";

/** Bytes before the last message of a claim, at most. The first message is always claimed. */
export const BYTES_MAX = 4 * 2 ** 20;

/**
 * A compressed value counts as so many times what is stored of it, as most JSON does at most, and never as more than the largest message: its own
 * size is not known before it is read. By what is stored, 400 messages of 900 kB were claimed at once, which takes seconds to read (measured).
 */
const COMPRESSED_WEIGHT = 8;

/** SQL: bytes of a column; without reading what is large. */
const bytesOf = (column: string): string => `case when pg_column_compression(${column}) is null then pg_column_size(${column})
    else least(${COMPRESSED_WEIGHT} * pg_column_size(${column}), ${Limits.MESSAGE_BYTES_MAX}) end`;

/** SQL: a column `before`, the bytes of `column` in the rows before, in the order of `order`. */
export const before = (column: string, order: string): string =>
  `sum(${bytesOf(column)}) over (order by ${order} rows unbounded preceding) - (${bytesOf(column)}) as before`;

/** SQL: whether a row with such a column belongs to the claim. */
export const WITHIN = `before < ${BYTES_MAX}`;
