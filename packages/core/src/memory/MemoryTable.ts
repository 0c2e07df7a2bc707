/**
 * One table of a `MemoryDatabase`: committed rows, and the changes of the transaction that is open. Rows keep the order of
 * their first insertion, so every listing is deterministic.
 *
 * At most one transaction is open at a time (the database sees to it), so a table needs one set of changes.
 */

/** What the database does to every table at the end of a transaction. */
export interface Ending {
  readonly applyChanges: () => void;
  readonly dropChanges: () => void;
}

export class MemoryTable<K extends string | number, V> implements Ending {
  readonly #committed = new Map<K, V>();
  readonly #changes = new Map<K, V | typeof GONE>();

  /** Committed rows, as everybody outside of the transaction sees them. */
  get committed(): ReadonlyMap<K, V> {
    return this.#committed;
  }

  /** The row as the open transaction sees it. */
  get(key: K): V | undefined {
    const change = this.#changes.get(key);
    if (change === GONE) return undefined;
    return change ?? this.#committed.get(key);
  }

  /** Was the row written by the open transaction? Others would find it locked. */
  isChanged(key: K): boolean {
    return this.#changes.has(key);
  }

  get hasChanges(): boolean {
    return this.#changes.size > 0;
  }

  /** Writes in the open transaction. */
  put(key: K, row: V): void {
    this.#changes.set(key, row);
  }

  /** Deletes in the open transaction. */
  remove(key: K): void {
    this.#changes.set(key, GONE);
  }

  /** A statement of its own, committed at once. */
  putCommitted(key: K, row: V): void {
    this.#committed.set(key, row);
  }

  /** A statement of its own, committed at once. */
  removeCommitted(key: K): void {
    this.#committed.delete(key);
  }

  /** Deletes all committed rows that match; returns how many. Rows locked by the open transaction stay. */
  removeCommittedWhere(matches: (row: V) => boolean): number {
    let removed = 0;
    for (const [key, row] of this.#committed) {
      if (matches(row) && !this.#changes.has(key)) {
        this.#committed.delete(key);
        removed += 1;
      }
    }
    return removed;
  }

  applyChanges(): void {
    for (const [key, change] of this.#changes) {
      if (change === GONE) this.#committed.delete(key);
      else this.#committed.set(key, change);
    }
    this.#changes.clear();
  }

  dropChanges(): void {
    this.#changes.clear();
  }
}

const GONE = Symbol("deleted");

/** A key of several columns; no two lists of parts have one text. */
export const keyOf = (...parts: ReadonlyArray<string>): string => JSON.stringify(parts);
