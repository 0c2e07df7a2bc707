/** JSON text that does not depend on the order of properties: equal values, equal texts. */

/** Null: the value is no JSON (a BigInt, something that contains itself). */
export const text = (value: unknown): string | null => {
  try {
    return JSON.stringify(value, (_, each: unknown) => ordered(each));
  } catch {
    return null;
  }
};

const ordered = (value: unknown): unknown =>
  typeof value !== "object" || value === null || Array.isArray(value)
    ? value
    : Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
