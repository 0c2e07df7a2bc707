/** A scheduler whose fibers give way after every few operations, so that each can be interrupted between any two. */
import { Scheduler } from "effect";

export class Restless extends Scheduler.MixedScheduler {
  readonly #operations: number;

  constructor(operations: number) {
    super();
    this.#operations = operations;
  }

  override shouldYield(fiber: { readonly currentOpCount: number }): boolean {
    return fiber.currentOpCount >= this.#operations;
  }
}
