/**
 * Processes that contend for one log take turns, so that nobody starves: whoever has just appended lets the others go first,
 * for as long as their appends will take, and reads what they have appended before it decides again. What comes meanwhile
 * makes its next batch larger. Alone, nobody waits, and nobody reads first.
 *
 * It is politeness, not mutual exclusion: `XADD` compares.
 */
import { Duration, Effect } from "effect";

/** Nobody lets others go first for longer, in milliseconds. */
const TURN_MAX_MS = 20;

/** How much of the newest measurement goes into the pace. */
const WEIGHT = 0.2;

export class Turn {
  /** What one append takes from reading to its answer, in milliseconds; a moving average. */
  #pace = 1;
  #appendedAt = Number.NEGATIVE_INFINITY;

  /** Waits until it is our turn again. */
  wait(rivals: number, now: number): Effect.Effect<void> {
    const rest = this.#appendedAt + Math.min(TURN_MAX_MS, rivals * this.#pace) - now;
    return rest > 0 ? Effect.sleep(Duration.millis(rest)) : Effect.void;
  }

  appended(beganAt: number, now: number): void {
    this.#pace += WEIGHT * (Math.min(TURN_MAX_MS, now - beganAt) - this.#pace);
    this.#appendedAt = now;
  }
}
