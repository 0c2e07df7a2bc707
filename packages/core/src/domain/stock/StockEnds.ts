/**
 * Live holds by their end. They lie in buckets of a quarter of a second, and what has ended is cleared out of one bucket at a time:
 * nobody waits for a look at all that is held, which is a second for a million of them.
 */
import type { Timestamp } from "../Timestamp.ts";
import type { Hold } from "./StockState.ts";

const BUCKET_MS = 250;

/** A bucket is cleared when so many of it have ended, and as many as are left. */
const STALE_MIN = 64;

interface Bucket {
  holds: Array<Hold>;
  /** Of them, how many have ended. */
  stale: number;
  /** The first to end is the last one. */
  isSorted: boolean;
}

export class Ends {
  readonly #buckets = new Map<number, Bucket>();
  readonly #isLive: (hold: Hold) => boolean;

  constructor(isLive: (hold: Hold) => boolean) {
    this.#isLive = isLive;
  }

  add(hold: Hold): void {
    const number = numberOf(hold.until);
    const bucket = this.#buckets.get(number);
    if (bucket === undefined) return void this.#buckets.set(number, { holds: [hold], stale: 0, isSorted: true });
    bucket.holds.push(hold);
    bucket.isSorted = false;
  }

  /** It was added, and lives no more. */
  remove(hold: Hold): void {
    const number = numberOf(hold.until);
    const bucket = this.#buckets.get(number);
    if (bucket === undefined) return;
    bucket.stale += 1;
    if (bucket.stale === bucket.holds.length) this.#buckets.delete(number);
    else if (bucket.stale >= STALE_MIN && 2 * bucket.stale > bucket.holds.length) this.#clear(bucket);
  }

  /** Holds whose time is over at `now`, the first to end first, at most `max`. Costs what is due, and a look at the number of each bucket. */
  due(now: Timestamp, max: number): ReadonlyArray<Hold> {
    const due: Array<Hold> = [];
    const numbers = [...this.#buckets.keys()].filter((number) => number <= numberOf(now));
    for (const number of numbers.toSorted((left, right) => left - right)) {
      if (due.length >= max) break;
      const bucket = this.#buckets.get(number);
      if (bucket !== undefined) this.#take(bucket, now, max, due);
    }
    return due;
  }

  #take(bucket: Bucket, now: Timestamp, max: number, into: Array<Hold>): void {
    if (!bucket.isSorted) {
      this.#clear(bucket);
      bucket.holds.sort(latestFirst);
      bucket.isSorted = true;
    }
    const { holds } = bucket;
    for (let at = holds.length - 1; at >= 0 && into.length < max; at--) {
      const hold = holds[at];
      if (hold === undefined || hold.until > now) return;
      if (this.#isLive(hold)) into.push(hold);
      else if (at === holds.length - 1) {
        // Not passed over again and again by whoever expires a large bucket little by little.
        holds.pop();
        bucket.stale -= 1;
      }
    }
  }

  #clear(bucket: Bucket): void {
    bucket.holds = bucket.holds.filter(this.#isLive);
    bucket.stale = 0;
  }
}

const numberOf = (until: Timestamp): number => Math.floor(until / BUCKET_MS);

const latestFirst = (left: Hold, right: Hold): number => right.until - left.until || (left.orderId < right.orderId ? 1 : -1);
