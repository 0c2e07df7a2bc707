/**
 * A shard of the stock, folded in memory and appended to a log that may be lost: the fast gate in front of the ledger.
 *
 * A log has a generation. Whoever opens a greater one (with a state of his own, out of the durable ledger) ends all before
 * it: their writers are refused from then on, wherever they run. What the log has granted is worth as much as the log:
 * nothing, once its server lost it. The ledger decides.
 */
import { Context, type Effect } from "effect";
import type { OrderId } from "../domain/order/OrderId.ts";
import type { StockCommand } from "../domain/stock/StockCommand.ts";
import type { Answer, StockView, StockWrites } from "../domain/stock/StockLedger.ts";
import type { StoreError } from "./StoreError.ts";

/** Which server this is, and whose history it has: another one after a restart, a failover or a wipe. */
export interface LogServer {
  readonly runId: string;
  readonly replicationId: string;
}

/** What a batch came to. `writes` are the new values, for whoever journals them. */
export type LogVerdict =
  | { readonly _tag: "Decided"; readonly answers: ReadonlyArray<Answer>; readonly writes: StockWrites }
  /** The log of this generation is no more: a greater one was opened, or the server lost it. Nothing was granted. */
  | { readonly _tag: "Ended" };

export class StockLog extends Context.Service<
  StockLog,
  {
    /** The server behind the connection of now, heard of within a second: one that is silent has no answer here, either. */
    readonly server: Effect.Effect<LogServer, StoreError>;
    /** Begins `generation` of `shard` with the state `view`. `Ended`: the log has a greater one already. Repeated, it changes nothing. */
    readonly open: (shard: number, generation: number, view: StockView) => Effect.Effect<"Opened" | "Ended", StoreError>;
    /**
     * Decides in order, each command on what those before it left, and appends what changed: all of it or nothing. Any
     * number of processes may append to one log. After `StoreError` with reason `Unknown` some may have happened: run the
     * same list again.
     */
    readonly execute: (shard: number, generation: number, commands: ReadonlyArray<StockCommand>) => Effect.Effect<LogVerdict, StoreError>;
    /** The state at the end of the log; null: `Ended`. It moves on with the log: read what you need of it at once. */
    readonly read: (shard: number, generation: number) => Effect.Effect<StockView | null, StoreError>;
    /** Orders whose holds have ended by the log's clock, oldest first, at most `max`: what `Expire` is then asked for; null: `Ended`. */
    readonly expired: (shard: number, generation: number, max: number) => Effect.Effect<ReadonlyArray<OrderId> | null, StoreError>;
  }
>()("@org/saga-core/ports/StockLog") {}
