/**
 * Time at the border of SQL. Tables keep `timestamptz`, for people; the domain keeps whole milliseconds. Both ways are exact
 * to the millisecond.
 */

/** SQL: a timestamptz as milliseconds. */
export const millis = (expression: string): string => `round(extract(epoch from ${expression}) * 1000)::float8`;

/** SQL: milliseconds as a timestamptz. */
export const moment = (expression: string): string => `to_timestamp(${expression} / 1000.0)`;
