/** Why stock came back: the order gave it back, its time was over, or an `Adjust` found less goods than were promised. */
import { Schema } from "effect";

export const ReturnReason = Schema.Literals(["asked", "expired", "revoked"]);
export type ReturnReason = typeof ReturnReason.Type;
