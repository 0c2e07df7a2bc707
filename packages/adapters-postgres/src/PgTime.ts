/**
 * Time at the border of SQL. Tables keep `timestamptz`, for people; the domain keeps whole milliseconds. Both ways are exact
 * to the millisecond.
 */

/** SQL: a timestamptz as milliseconds. Not by `extract`, whose `numeric` costs ten times as much; a float8 is exact to the millisecond. */
export const millis = (expression: string): string => `round(date_part('epoch', ${expression}) * 1000)`;

/** SQL: milliseconds as a timestamptz. */
export const moment = (expression: string): string => `to_timestamp(${expression} / 1000.0)`;
