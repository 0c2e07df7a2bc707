/**
 * Names that Kafka takes, and that no metric of it confuses: `[a-zA-Z0-9._-]{1,249}`, `.` and `_` not mixed (both become
 * `_` in metric names), no `__` at the beginning (the broker's own topics).
 */

/** Characters of a topic's name, the broker's limit. */
export const TOPIC_MAX = 249;

/** Why this is no topic's name; null if it is one. */
export const problemOf = (name: string): string | null => {
  if (name.length === 0 || name.length > TOPIC_MAX) return `a topic's name has 1 to ${TOPIC_MAX} characters`;
  if (!/^[a-zA-Z0-9._-]+$/.test(name)) return "a topic's name consists of letters, digits, '.', '_' and '-'";
  if (name === "." || name === "..") return `a topic cannot be named ${name}`;
  if (name.startsWith("__")) return "topics that begin with __ are the broker's own";
  if (name.includes(".") && name.includes("_")) return "a topic's name has '.' or '_', not both";
  return null;
};
