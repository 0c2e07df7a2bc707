/** What a contender of `stock` brings: its engine, opened for one cell of a round and closed after it. */
import type { StockCommand } from "@org/saga-core";

/** One of the lanes that ask, a command after the other. */
export interface Lane {
  /** What it asks next; nothing when it is done. */
  readonly next: () => StockCommand | undefined;
  /** The answer's word: the tag of what was accepted, or of the rejection. */
  readonly seen: (command: StockCommand, word: string) => void;
}

/** The books of one SKU, in the units of `StockBalance`. */
export interface Books {
  readonly onHand: number;
  readonly held: number;
  readonly committed: number;
  readonly available: number;
}

export interface Engine {
  /** Lets all lanes ask, one command each at a time, until each is done. */
  readonly run: (lanes: ReadonlyArray<Lane>) => Promise<void>;
  /** Every SKU's books. */
  readonly books: () => Promise<ReadonlyArray<Books>>;
  readonly close: () => Promise<void>;
}

export interface Place {
  /** Whose keys: a name that no cell had before. */
  readonly prefix: string;
  readonly shard: number;
  /** Reserves are first requests, which local marks may refuse. */
  readonly soldOut: boolean;
}

export type Open = (place: Place) => Promise<Engine>;
