/**
 * Where things are written: data to stdout, everything else to stderr. With `--json`, stdout is one JSON document.
 */
import { Console, type Effect } from "effect";
import { CliOutput } from "effect/cli";

/** `text`: the same for people. */
export const data = (asJson: boolean, value: unknown, text: string): Effect.Effect<void> =>
  Console.log(asJson ? JSON.stringify(value, null, 2) : text);

export const message = (text: string): Effect.Effect<void> => Console.error(text);

/** Columns, as wide as they need to be. No colors: what is a table today is the input of `awk` tomorrow. */
export const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const all = [head, ...rows].map((row) => row.map(printable));
  const widths = head.map((_, column) => Math.max(...all.map((row) => CliOutput.displayWidth(row[column] ?? ""))));
  return all
    .map((row) =>
      row
        .map((cell, column) => pad(cell, widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
};

/** ISO 8601, in UTC. */
export const time = (millis: number): string => new Date(millis).toISOString();

const pad = (cell: string, width: number): string => cell + " ".repeat(width - CliOutput.displayWidth(cell));

/** What is stored may come from anywhere, and a terminal obeys control characters. */
const printable = (cell: string): string => cell.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, " ");
