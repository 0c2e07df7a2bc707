/**
 * Finds statements that begin or end a transaction in SQL text, where the transaction is not its author's: `UnitOfWork`'s, or
 * that of the migrations. What was sent with a transaction that somebody else ended would no longer be committed together.
 *
 * Words in comments, strings, quoted names and bodies of functions (`$$…$$`, `begin atomic … end`) are none.
 */

/** A statement that was not sent, on a handle that is the driver library's own. */
export class EndsTransaction extends Error {
  override readonly name = "EndsTransaction";
}

/** What to say of such a statement. */
export const whyNot = (ending: string): string =>
  `a statement is a ${ending}: this transaction commits when its function has ended, and rolls back when that fails. Leave the statement out; to roll back, fail or throw; to take part of it back, use a savepoint`;

/** The first such statement by its words, in upper case; null if there is none. */
export const endsTransaction = (text: string): string | null => {
  // Most statements begin with another word, and no second one follows: they cost no more than this.
  if (!text.includes(";") && !MAY_BEGIN.test(text)) return null;
  for (const words of statements(text)) {
    const found = forbidden(words);
    if (found !== null) return found;
  }
  return null;
};

const MAY_BEGIN = /^\s*(?:--|\/\*|abort|begin|commit|end|prepare|rollback|start)/i;

/** As far as it is needed to know a statement by: `rollback transaction to`. */
const WORDS_MAX = 3;

const forbidden = ([first = "", second = "", third = ""]: ReadonlyArray<string>): string | null => {
  switch (first) {
    case "abort":
    case "begin":
    case "commit":
    case "end":
      return first.toUpperCase();
    case "rollback": {
      const isNoise = second === "work" || second === "transaction";
      return (isNoise ? third : second) === "to" ? null : "ROLLBACK";
    }
    case "start":
    case "prepare":
      return second === "transaction" ? `${first.toUpperCase()} TRANSACTION` : null;
    default:
      return null;
  }
};

/** In order: a comment, a string with escapes, a string, a quoted name, a dollar quote's tag, a word, a number, anything else. */
const TOKEN =
  /--[^\n\r]*|e'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'?|'[^']*(?:''[^']*)*'?|"[^"]*(?:""[^"]*)*"?|(\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)|([a-z_\u0080-\uffff][\w$\u0080-\uffff]*)|\d\w*|\/\*|\S/gisu;

/** The first words of each statement, in lower case. What is no word counts as an empty one. */
function* statements(text: string): Generator<ReadonlyArray<string>> {
  const token = new RegExp(TOKEN);
  let words: Array<string> = [];
  /** Of a function's body that is not quoted: `begin atomic`, and each `case` inside. */
  let depth = 0;
  let before = "";
  for (let found = token.exec(text); found !== null; found = token.exec(text)) {
    const [all, tag, named] = found;
    if (all.startsWith("--")) continue;
    if (all === "/*") {
      token.lastIndex = commentEnd(text, token.lastIndex);
      continue;
    }
    if (tag !== undefined) token.lastIndex = after(text, tag, token.lastIndex);
    const word = named?.toLowerCase() ?? "";
    if (all === ";" && depth === 0) {
      yield words;
      words = [];
    } else if (words.length < WORDS_MAX) words.push(word);
    if (words[0] === "create") {
      if (before === "begin" && word === "atomic") depth = 1;
      else if (depth > 0 && word === "case") depth += 1;
      else if (depth > 0 && word === "end") depth -= 1;
    }
    before = word;
  }
  yield words;
}

const after = (text: string, what: string, from: number): number => {
  const at = text.indexOf(what, from);
  return at < 0 ? text.length : at + what.length;
};

/** Comments may be in comments. */
const commentEnd = (text: string, from: number): number => {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = from;
  let depth = 1;
  for (let found = edge.exec(text); found !== null; found = edge.exec(text)) {
    depth += found[0] === "/*" ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return text.length;
};
