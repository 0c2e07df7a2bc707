/** Compact lines for a terminal or a log. Colors only when asked for: see `wantsColor`. Nothing moves. */
import type { FlowResult, Report } from "./Report.ts";

export interface Style {
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly warn: (text: string) => string;
}

const paint =
  (on: boolean, code: number) =>
  (text: string): string =>
    on ? `\u001B[${code}m${text}\u001B[0m` : text;

export const style = (color: boolean): Style => ({
  dim: paint(color, 2),
  bold: paint(color, 1),
  good: paint(color, 32),
  bad: paint(color, 31),
  warn: paint(color, 33),
});

/** Colors belong on a terminal whose owner has not asked for none (https://no-color.org). */
export const wantsColor = (
  stream: { readonly isTTY?: boolean | undefined },
  environment: { readonly [name: string]: string | undefined },
): boolean => stream.isTTY === true && (environment["NO_COLOR"] ?? "") === "" && environment["TERM"] !== "dumb";

const seconds = (millis: number): string => `${(millis / 1000).toFixed(2)} s`;

/** One line of a timeline. A negative time is left out. */
export const moment = ({ dim, bold }: Style, name: string, millis: number, text: string): string =>
  `  ${dim((millis < 0 ? "" : seconds(millis)).padStart(8))}  ${bold(name)}  ${text}`;

export const status = ({ good, bad, warn }: Style, word: string, reason: string | null): string => {
  const text = reason === null ? word : `${word} (${reason})`;
  switch (word) {
    case "finished":
      return good(text);
    case "canceled":
    case "refunded":
      return warn(text);
    case "failed":
      return bad(text);
    default:
      return text;
  }
};

export const summary = (style: Style, report: Report): ReadonlyArray<string> => {
  const { good, bad, dim } = style;
  const width = Math.max(0, ...report.results.map(({ title }) => title.length));
  const endWidth = Math.max(0, ...report.results.map((result) => endOf(result).length));
  const lines = report.results.map((result) => ended(style, result, width, endWidth));
  const problems = [...report.results.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`)), ...report.stock];
  const total = report.results.length;
  const end =
    report.failed === 0
      ? good(`${total} of ${total} flows ended as they should`)
      : bad(`${report.passed} of ${total} flows ended as they should`);
  return ["", ...lines, ...problems.map((problem) => `    ${bad(problem)}`), "", `  ${end}${dim(".")}`];
};

const endOf = ({ timeline, reason }: FlowResult): string =>
  reason === null ? (timeline.at(-1) ?? "no order") : `${timeline.at(-1) ?? ""} (${reason})`;

const ended = ({ good, bad, dim }: Style, result: FlowResult, width: number, endWidth: number): string => {
  const mark = result.problems.length === 0 ? good("✓") : bad("✗");
  return `  ${mark} ${result.title.padEnd(width)}  ${endOf(result).padEnd(endWidth)}  ${dim(seconds(result.millis))}`;
};
