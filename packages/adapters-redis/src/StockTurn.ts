/**
 * Processes that contend for one log take turns, so that hardly an append is refused and nobody starves. The order is in the
 * log: whose last entry is the oldest comes next. Who is not in the row yet goes at once, and is from then on; who has not
 * taken his turn for some time is not any more. Alone, or when what was appended last is long past, nobody waits.
 *
 * It is politeness, not mutual exclusion: `XADD` compares.
 */

/** Processes that take turns, at most: more would wait for longer than `TURN_MAX_MS`. */
const ROW_MAX = 32;

/** Nobody lets others go first for longer, in milliseconds. */
const TURN_MAX_MS = 20;

/** Somebody has missed his turn after so many times what a turn takes, */
const PATIENCE = 3;

/** and not before so many milliseconds. */
const PATIENCE_MIN_MS = 1;

/** Whoever has missed so many turns wants none. Fewer would leave out a process that had no processor for a moment: it would race again. */
const MISSES_MAX = 8;

/** How much of the newest measurement goes into the pace. */
const WEIGHT = 0.2;

/** Those who append, next first. The same for all who have read the same entries. */
export class Row {
  #members: ReadonlyArray<Member> = [];

  /** Whoever was before him has missed his turn. */
  appended(origin: string): void {
    if (this.#members.length === 1 && this.#members[0]?.origin === origin) return;
    const at = this.#members.findIndex((member) => member.origin === origin);
    const late = this.#members.slice(0, Math.max(0, at)).flatMap(missed);
    const rest = this.#members.slice(at + 1);
    this.#members = [...late, ...rest, { origin, misses: 0 }].slice(-ROW_MAX);
  }

  /** How many go before. */
  ahead(origin: string): number {
    return this.#members.length < 2
      ? 0
      : Math.max(
          0,
          this.#members.findIndex((member) => member.origin === origin),
        );
  }
}

interface Member {
  readonly origin: string;
  /** Since his last entry. */
  readonly misses: number;
}

const missed = ({ origin, misses }: Member): ReadonlyArray<Member> => (misses < MISSES_MAX ? [{ origin, misses: misses + 1 }] : []);

export class Turn {
  /** What one turn takes, ours or another's, in milliseconds; a moving average. */
  #pace = 1;
  /** When it was last heard that it is somebody's turn. */
  #since = Number.NEGATIVE_INFINITY;

  /** How long those who are ahead are let go first, in milliseconds; not at all: not above 0. */
  rest(ahead: number, now: number): number {
    return this.#since + Math.min(TURN_MAX_MS, ahead * Math.max(PATIENCE_MIN_MS, PATIENCE * this.#pace)) - now;
  }

  /** So many turns that we waited for are over. */
  heard(turns: number, now: number): void {
    if (turns > 0) this.#took((now - this.#since) / turns, now);
  }

  appended(beganAt: number, now: number): void {
    this.#took(now - beganAt, now);
  }

  #took(millis: number, now: number): void {
    this.#pace += WEIGHT * (Math.min(TURN_MAX_MS, millis) - this.#pace);
    this.#since = now;
  }
}
