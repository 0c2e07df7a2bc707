/**
 * Message ids: UUIDv7 (RFC 9562), from Effect's clock and randomness, so that a simulation repeats them. Identity only:
 * nothing orders by them.
 */
import { Clock, Effect, Random } from "effect";

/** Makes `count` ids of this moment. */
export const next = (count: number): Effect.Effect<ReadonlyArray<string>> =>
  Clock.clockWith((clock) =>
    Effect.map(Effect.service(Random.Random), (random) => {
      const now = clock.currentTimeMillisUnsafe();
      return Array.from({ length: count }, () => uuidv7(now, () => random.nextDoubleUnsafe()));
    }),
  );

const BITS_16 = 0x10000;

const uuidv7 = (millis: number, double: () => number): string => {
  const word = (): number => Math.floor(double() * BITS_16);
  const time = millis.toString(16).padStart(12, "0");
  const version = (0x7000 | (word() & 0x0fff)).toString(16);
  const variant = (0x8000 | (word() & 0x3fff)).toString(16);
  const tail = hex4(word()) + hex4(word()) + hex4(word());
  return `${time.slice(0, 8)}-${time.slice(8)}-${version}-${variant}-${tail}`;
};

const hex4 = (word: number): string => word.toString(16).padStart(4, "0");
