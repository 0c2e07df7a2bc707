/**
 * Questions that data would answer (does a condition hold, does the aggregate agree): each is answered in every way.
 *
 * `each` runs a pure function once for every sequence of answers; inside of it, `choose` gives the next one.
 */
export interface Choices {
  readonly choose: (ways: ReadonlyArray<string>) => number;
  readonly each: <A>(run: () => A) => ReadonlyArray<{ readonly value: A; readonly answers: ReadonlyArray<string> }>;
}

interface Asked {
  readonly ways: ReadonlyArray<string>;
  answer: number;
}

export const make = (): Choices => {
  const script: Array<Asked> = [];
  let at = 0;
  const choose: Choices["choose"] = (ways) => {
    const asked = script[at] ?? { ways, answer: 0 };
    if (at === script.length) script.push(asked);
    at += 1;
    return asked.answer;
  };
  const each: Choices["each"] = (run) => {
    const results = [];
    script.length = 0;
    do {
      at = 0;
      const value = run();
      results.push({ value, answers: script.map(({ ways, answer }) => ways[answer] ?? "") });
    } while (turnOver(script));
    return results;
  };
  return { choose, each };
};

/** To the next sequence of answers, like a counter; false: that was the last one. */
const turnOver = (script: Array<Asked>): boolean => {
  for (let last = script.pop(); last !== undefined; last = script.pop()) {
    last.answer += 1;
    if (last.answer === last.ways.length) continue;
    script.push(last);
    return true;
  }
  return false;
};
