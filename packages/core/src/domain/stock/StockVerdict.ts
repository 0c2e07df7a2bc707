/** What a decision comes to: an answer with what happens, or a rejection. */
import { Result } from "effect";
import type { StockAccepted, StockRejection } from "./StockCommand.ts";
import type { StockEvent } from "./StockEvent.ts";

export interface Decided {
  readonly answer: StockAccepted;
  /** None: it was so already. */
  readonly events: ReadonlyArray<StockEvent>;
}

export type Verdict = Result.Result<Decided, StockRejection>;

export const done = (answer: StockAccepted, events: ReadonlyArray<StockEvent> = []): Verdict => Result.succeed({ answer, events });

export const invalid = (detail: string): Result.Result<never, StockRejection> => Result.fail({ _tag: "InvalidQuantity", detail });
