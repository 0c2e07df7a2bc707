/** What the lanes of a cell do. Each counts what it was told, which the books have to agree with afterwards. */
import type { OrderId, StockCommand } from "@org/saga-core";
import * as Carts from "./Carts.ts";
import type { Engine, Lane } from "./Engine.ts";

/** What the answers of a cell add up to. */
export interface Tally {
  answers: number;
  /** Units. */
  granted: number;
  returned: number;
  committed: number;
  refused: number;
  /** Answers that should not have come. */
  wrong: number;
  /** The longest time without any answer, in milliseconds. */
  gap: number;
}

export const tally = (): Tally => ({ answers: 0, granted: 0, returned: 0, committed: 0, refused: 0, wrong: 0, gap: 0 });

/** A clock for all lanes of a process: whether they go on, and how long no answer came. It is looked at so seldom as `every` says. */
const clock = (millis: number, every: number, into: Tally) => {
  const start = performance.now();
  let last = start;
  let asked = 0;
  return {
    goesOn: (): boolean => {
      if (asked++ % every !== 0) return true;
      const now = performance.now();
      if (now - last > into.gap) into.gap = now - last;
      last = now;
      return now - start < millis;
    },
    seconds: (): number => (performance.now() - start) / 1_000,
  };
};

const reserve = (orderId: OrderId, lines: ReturnType<typeof Carts.carts>[number], ttlMillis = Carts.TTL_MS): StockCommand => ({
  _tag: "Reserve",
  orderId,
  lines,
  ttlMillis,
});

const unitsOf = (command: StockCommand): number => (command._tag === "Reserve" ? command.lines.length : 0);

export interface Ordering {
  readonly orders: ReadonlyArray<OrderId>;
  readonly carts: ReturnType<typeof Carts.carts>;
  readonly inFlight: number;
  readonly millis: number;
  /** Commands between two looks at the clock. More than one only where looking would cost as much as asking. */
  readonly every: number;
}

/** Reserves, one after the other, for a while. */
export const reserving = async (engine: Engine, { orders, carts, inFlight, millis, every }: Ordering, into: Tally): Promise<number> => {
  const time = clock(millis, every, into);
  let asked = 0;
  const lane: Lane = {
    next: () => {
      const orderId = orders[asked];
      const lines = carts[asked % carts.length];
      if (orderId === undefined || lines === undefined || !time.goesOn()) return undefined;
      asked++;
      return reserve(orderId, lines);
    },
    seen: (command, word) => {
      into.answers++;
      if (word === "Reserved") into.granted += unitsOf(command);
      else if (word === "OutOfStock") into.refused++;
      else into.wrong++;
    },
  };
  await engine.run(Array.from({ length: inFlight }, () => lane));
  return time.seconds();
};

/** A hold that is to expire is asked about after this time, in milliseconds; it ended after one. */
const EXPIRED_AFTER_MS = 5;

/** Of ten orders: five are committed, three released, two expire. */
export const living = async (engine: Engine, { orders, carts, inFlight, millis, every }: Ordering, into: Tally): Promise<number> => {
  const time = clock(millis, every, into);
  let asked = 0;
  const lane = (): Lane => {
    const expiring: Array<{ readonly orderId: OrderId; readonly at: number }> = [];
    let then: StockCommand | undefined;
    let kept = 0;
    return {
      next: () => {
        if (!time.goesOn()) return undefined;
        if (then !== undefined) return then;
        const [oldest] = expiring;
        if (oldest !== undefined && performance.now() - oldest.at > EXPIRED_AFTER_MS) {
          expiring.shift();
          return { _tag: "Expire", orderId: oldest.orderId };
        }
        const orderId = orders[asked];
        const lines = carts[asked % carts.length];
        if (orderId === undefined || lines === undefined) return undefined;
        return reserve(orderId, lines, asked++ % 10 < 8 ? Carts.TTL_MS : 1);
      },
      seen: (command, word) => {
        into.answers++;
        then = undefined;
        if (command._tag === "Adjust") return;
        const { orderId } = command;
        if (word === "Reserved" && command._tag === "Reserve") {
          into.granted += unitsOf(command);
          if (command.ttlMillis === 1) expiring.push({ orderId, at: performance.now() });
          else then = { _tag: kept++ % 8 < 5 ? "Commit" : "Release", orderId };
        } else if (word === "Committed") into.committed += 1;
        else if (word === "Released") into.returned += 1;
        else if (word === "HoldAlive") expiring.push({ orderId, at: performance.now() });
        else into.wrong++;
      },
    };
  };
  await engine.run(Array.from({ length: inFlight }, lane));
  return time.seconds();
};

/** So many holds of one unit each. */
export const filling = async (engine: Engine, from: number, to: number, inFlight: number, into: Tally): Promise<void> => {
  const carts = Carts.carts(1, false);
  let next = from;
  const lane: Lane = {
    next: () => {
      const lines = carts[next % carts.length];
      if (next >= to || lines === undefined) return undefined;
      return reserve(Carts.orderId(FILL, next++), lines);
    },
    seen: (_, word) => {
      if (word === "Reserved") into.granted += 1;
      else into.wrong++;
    },
  };
  await engine.run(Array.from({ length: inFlight }, () => lane));
};

/** Workers whose orders no cell has. */
const FILL = 90_000_000;
const CHURN = 91_000_000;

/** Reserves and releases in turn, so that as many holds live as before; returns the microseconds of such a pair. */
export const churning = async (engine: Engine, round: number, pairs: number, inFlight: number, into: Tally): Promise<number> => {
  const carts = Carts.carts(1, false);
  const orders = Array.from({ length: pairs }, (_, index) => Carts.orderId(CHURN + round, index));
  let next = 0;
  const lane = (): Lane => {
    let then: StockCommand | undefined;
    return {
      next: () => {
        if (then !== undefined) return then;
        const orderId = orders[next];
        const lines = carts[next % carts.length];
        if (orderId === undefined || lines === undefined) return undefined;
        next++;
        return reserve(orderId, lines);
      },
      seen: (command, word) => {
        then = undefined;
        if (command._tag === "Reserve" && word === "Reserved") {
          into.granted += 1;
          then = { _tag: "Release", orderId: command.orderId };
        } else if (word === "Released") into.returned += 1;
        else into.wrong++;
      },
    };
  };
  const start = performance.now();
  await engine.run(Array.from({ length: inFlight }, lane));
  return ((performance.now() - start) * 1_000) / pairs;
};
