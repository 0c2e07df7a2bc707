/**
 * A moment as whole milliseconds since 1970-01-01T00:00:00Z. It arrives as a field of the command, stamped from the
 * clock of the database; nothing in the domain reads a clock.
 */
import { Schema } from "effect";

export const Timestamp = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0));
export type Timestamp = typeof Timestamp.Type;
