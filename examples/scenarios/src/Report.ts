/** What became of the flows. */

export interface FlowResult {
  readonly name: string;
  readonly title: string;
  readonly orderId: string | null;
  readonly timeline: ReadonlyArray<string>;
  readonly reason: string | null;
  readonly millis: number;
  /** What was not as expected; empty: it passed. */
  readonly problems: ReadonlyArray<string>;
}

export interface Report {
  /** Flows that ended as they should. */
  readonly passed: number;
  /** The others, and one more if the stock is not right. */
  readonly failed: number;
  readonly results: ReadonlyArray<FlowResult>;
  /** What is wrong with the stock; empty, also when it was not looked at. */
  readonly stock: ReadonlyArray<string>;
}
