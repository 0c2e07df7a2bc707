/** What text becomes on its way into PostgreSQL. */

/** PostgreSQL's text holds no NUL. */
export const storable = (text: string): string => text.replaceAll("\u0000", "\uFFFD");

/**
 * JSON texts as one text, with a character between them that JSON cannot hold. As an array of texts each would be escaped on the
 * way and unescaped at its end: six times the work of writing them (measured).
 */
export const listOf = (texts: ReadonlyArray<string>): string => texts.join("\u0001");

/** The array of texts that `listOf` made one of: `parameter` is its placeholder. */
export const arrayOf = (parameter: string): string => `string_to_array(${parameter}::text, chr(1))`;

/** JSON text of a value, or undefined if it has none (a function, a cycle, a bigint). */
export const textOf = (value: unknown): string | undefined => {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
};
