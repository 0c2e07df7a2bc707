/** What may be the id of an instance: a database has to find it again under it, and its messages have it as their key. */
import { INSTANCE_ID_MAX } from "../Limits.ts";

/** Why `id` can be none; null if it can. Half a surrogate pair is stored as another text, and never found again. */
export const problem = (id: unknown): string | null =>
  typeof id === "string" && id !== "" && id.length <= INSTANCE_ID_MAX && id.isWellFormed() && !id.includes("\u0000")
    ? null
    : `the id of an instance is a text of 1 to ${INSTANCE_ID_MAX} characters, well-formed Unicode without NUL`;
