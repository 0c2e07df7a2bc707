/**
 * What this process knows of a shard's log: the state after the last entry that it has seen. Pure: it is told of entries, and
 * says what they mean.
 *
 * The chain: each entry names the one before it. `XADD` refuses only ids that are not greater than the top, so after a
 * failover that lost the tail, whoever still has that tail in mind would append over a gap. Such an entry is void to every
 * reader: it names a predecessor that the log does not have.
 */
import { StockFold, StockLedger, type Timestamp } from "@org/saga-core";
import * as StockEntry from "./StockEntry.ts";
import { Row } from "./StockTurn.ts";

/** As XRANGE has it: its place `<generation>-<n>`, and its text. */
export interface Recorded {
  readonly place: string;
  readonly text: string;
}

/**
 * - `Followed`: it is part of the state now, or was before.
 * - `Ended`: a greater generation was opened.
 * - `Broken`: it does not follow from what this process has seen: the log, or this process, has lost something.
 * - `Corrupt`: somebody else wrote it.
 */
export type Followed = "Followed" | "Ended" | "Broken" | "Corrupt";

/** Where a replica begins: the opening or the last snapshot of a generation. */
export interface Base {
  /** Names the key of its pages; "": the empty state. */
  readonly snapshot: string;
  readonly n: number;
  readonly id: string;
}

export class Replica {
  readonly generation: number;
  readonly fold = new StockFold.Fold();
  /** Snapshots that the log names, oldest first; only the last one is needed. */
  readonly snapshots = new Set<string>();
  /** The last entry of the chain. */
  id: string;
  /** Its place in the log. */
  n: number;
  /** The last that stood in for what came before it, as this process has seen it. */
  latest: string | null = null;
  /** Characters of all entries that were seen, */
  seen = 0;
  /** of those that the last snapshot stands for, */
  #covered = 0;
  /** and how large that snapshot is. */
  size = 0;

  /** Of whom the last entries are. */
  readonly row = new Row();

  constructor(generation: number, base: Base) {
    this.generation = generation;
    this.n = base.n;
    this.id = base.id;
  }

  /** What a newcomer would have to read beyond the snapshot, in characters. */
  get tail(): number {
    return this.seen - this.#covered;
  }

  link(id: string, at: Timestamp): StockEntry.Link {
    return { id, previous: this.id, at };
  }

  /** This process has appended it. */
  appended(id: string, text: string): void {
    this.n += 1;
    this.id = id;
    this.seen += text.length;
    this.row.appended(StockEntry.originOf(id));
  }

  follow({ place, text }: Recorded): Followed {
    const { generation, n } = placeOf(place);
    if (generation > this.generation) return "Ended";
    if (generation < this.generation || n <= this.n) return "Followed";
    const entry = StockEntry.decode(text);
    if (entry === null) return "Corrupt";
    if (entry.previous !== this.id) return "Broken";
    this.n = n;
    this.id = entry.id;
    this.seen += text.length;
    this.row.appended(StockEntry.originOf(entry.id));
    if (entry._tag === "Batch") this.fold.apply(entry.writes, entry.at);
    if (entry._tag === "Snapshot") this.replaced(entry.snapshot, this.tail, this.seen);
    return "Followed";
  }

  /** A newer snapshot stands in for what came before it. */
  replaced(snapshot: string, size: number, covered: number): void {
    this.snapshots.add(snapshot);
    this.latest = snapshot;
    this.size = size;
    this.#covered = covered;
  }

  /** A void entry: the next one is appended behind it all the same. */
  pass({ place }: Recorded): void {
    this.n = placeOf(place).n;
  }
}

/** The last opening or snapshot of `generation` among these entries. */
export const baseOf = (entries: ReadonlyArray<Recorded>, generation: number): Base | null => {
  for (const { place, text } of entries.toReversed()) {
    // Not decoded: nearly all of them are batches, and long.
    if (text.startsWith("[0") || placeOf(place).generation !== generation) continue;
    const entry = StockEntry.decode(text);
    if (entry?._tag === "Opening") return { snapshot: entry.snapshot, n: placeOf(place).n, id: entry.id };
    if (entry?._tag === "Snapshot") return { snapshot: entry.snapshot, n: placeOf(entry.position).n, id: entry.last };
  }
  return null;
};

/** Every snapshot that these entries name. */
export const snapshotsOf = (entries: ReadonlyArray<Recorded>): ReadonlyArray<string> =>
  entries.flatMap(({ text }) => {
    const entry = text.startsWith("[0") ? null : StockEntry.decode(text);
    return entry === null || entry._tag === "Batch" || entry.snapshot === "" ? [] : [entry.snapshot];
  });

export const placeOf = (place: string): { readonly generation: number; readonly n: number } => {
  const dash = place.indexOf("-");
  return { generation: Number(place.slice(0, dash)), n: Number(place.slice(dash + 1)) };
};

/** So many records of each kind on one page of a snapshot: a millisecond of work. */
const PAGE_RECORDS = 1_000;

/**
 * The state as pages. They are made one by one while the state goes on: a later page may have what was written since. That
 * does no harm: a newcomer reads every entry since the snapshot's place on top of it, and entries hold absolute values.
 */
export function* pagesOf(view: StockLedger.StockView, at: Timestamp): Generator<string> {
  const page = (part: Partial<StockLedger.StockWrites>): string =>
    StockEntry.encodePage(at, { skus: [], holds: [], adjustments: [], buyers: [], ...part });
  for (const skus of slices(view.skus)) yield page({ skus });
  for (const holds of slices(view.holds)) yield page({ holds });
  for (const adjustments of slices(view.adjustments)) yield page({ adjustments });
  for (const buyers of slices(view.buyers)) yield page({ buyers });
}

/** Not more than there are now: what comes later is in the log. */
function* slices<V>(from: ReadonlyMap<string, V>): Generator<ReadonlyArray<V>> {
  let left = from.size;
  let slice: Array<V> = [];
  for (const value of from.values()) {
    if (left === 0) break;
    left -= 1;
    if (slice.push(value) < PAGE_RECORDS) continue;
    yield slice;
    slice = [];
  }
  if (slice.length > 0) yield slice;
}
