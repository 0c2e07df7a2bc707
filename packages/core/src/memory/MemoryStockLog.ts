/**
 * `StockLog` in memory: each shard is one folded state with its generation. Deciding and appending are one step that nothing
 * can come between.
 *
 * `make` gives the logs as a value that outlives the layers on top of it, as a server outlives its clients; `wipe` is what
 * happens when it is restarted empty. Time is the server's clock.
 */
import { Clock, Effect, Layer } from "effect";
import type { StockCommand } from "../domain/stock/StockCommand.ts";
import { Fold } from "../domain/stock/StockFold.ts";
import * as StockLedger from "../domain/stock/StockLedger.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { type LogServer, type LogVerdict, StockLog } from "../ports/StockLog.ts";
import * as FaultPoint from "./FaultPoint.ts";

interface Log {
  readonly generation: number;
  readonly fold: Fold;
}

export class Logs {
  readonly #logs = new Map<number, Log>();
  #runs = 1;

  get server(): LogServer {
    return { runId: `run-${this.#runs}`, replicationId: `history-${this.#runs}` };
  }

  /** Restarted, with nothing. */
  wipe(): void {
    this.#logs.clear();
    this.#runs += 1;
  }

  open(shard: number, generation: number, view: StockLedger.StockView): "Opened" | "Ended" {
    const known = this.#logs.get(shard)?.generation ?? -1;
    if (known < generation) this.#logs.set(shard, { generation, fold: Fold.of(view) });
    return known > generation ? "Ended" : "Opened";
  }

  execute(shard: number, generation: number, commands: ReadonlyArray<StockCommand>, clock: Timestamp): LogVerdict {
    const fold = this.of(shard, generation);
    if (fold === null) return { _tag: "Ended" };
    const now = Math.max(clock, fold.last);
    const { answers, writes } = StockLedger.decideBatch(fold, commands, now);
    fold.apply(writes, now);
    return { _tag: "Decided", answers, writes };
  }

  /** Null: this generation is not, or no more. */
  of(shard: number, generation: number): Fold | null {
    const log = this.#logs.get(shard);
    return log?.generation === generation ? log.fold : null;
  }
}

/** No logs. */
export const make: Effect.Effect<Logs> = Effect.sync(() => new Logs());

/** A process's connection to a server that lives elsewhere. */
export const layerOf = (logs: Logs): Layer.Layer<StockLog> => Layer.succeed(StockLog, serviceOf(logs));

/** A server of its own. */
export const layer: Layer.Layer<StockLog> = Layer.effect(StockLog, Effect.map(make, serviceOf));

function serviceOf(logs: Logs): StockLog["Service"] {
  const at = <A>(method: string, run: (now: Timestamp) => A): Effect.Effect<A> =>
    FaultPoint.around(`StockLog.${method}`, Effect.map(Clock.currentTimeMillis, run));
  return {
    server: at("server", () => logs.server),
    open: (shard, generation, view) => at("open", () => logs.open(shard, generation, view)),
    execute: (shard, generation, commands) => at("execute", (now) => logs.execute(shard, generation, commands, now)),
    read: (shard, generation) => at("read", () => logs.of(shard, generation)),
    expired: (shard, generation, max) =>
      at("expired", (now) => {
        const fold = logs.of(shard, generation);
        return fold === null ? null : fold.expired(Math.max(now, fold.last), max);
      }),
  };
}
