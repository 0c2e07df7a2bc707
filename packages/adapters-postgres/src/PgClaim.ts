/**
 * How much of what waits is claimed at once: not only so many messages, but so many bytes. A thousand of the largest would be a gigabyte,
 * and longer on their way than a shard may be owned: claimed again and again, and never done.
 */

/** Bytes before the last message of a claim, at most; as they are stored, so compressed. The first message is always claimed. */
export const BYTES_MAX = 4 * 2 ** 20;

/** SQL: a column `before`, the bytes of `column` in the rows before, in the order of `order`. Read without reading what is large. */
export const before = (column: string, order: string): string =>
  `sum(pg_column_size(${column})) over (order by ${order} rows unbounded preceding) - pg_column_size(${column}) as before`;

/** SQL: whether a row with such a column belongs to the claim. */
export const WITHIN = `before < ${BYTES_MAX}`;
