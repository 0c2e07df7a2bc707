/** The child's side of every contender of `stock`: opens its engine for a cell, does the work, and looks at the books. */
import * as Serve from "../Serve.ts";
import * as Carts from "./Carts.ts";
import type { Engine, Open } from "./Engine.ts";
import * as Work from "./Work.ts";

export const serve = (open: Open, more: Serve.Commands = {}): void => {
  const orders = new Map<number, ReturnType<typeof Carts.orderIds>>();
  const ordersOf = (worker: number): ReturnType<typeof Carts.orderIds> => {
    const known = orders.get(worker) ?? Carts.orderIds(worker);
    orders.set(worker, known);
    return known;
  };
  let engine: Engine | undefined;
  let tally = Work.tally();
  const opened = (): Engine => {
    if (engine === undefined) throw new Error("no cell is open");
    return engine;
  };
  const ordering = ({
    lines = 1,
    hot = 0,
    inFlight = 1,
    millis = 0,
    every = 1,
    worker = 0,
    from = 0,
    to = Number.MAX_SAFE_INTEGER,
  }: Serve.Numbers): Work.Ordering => ({
    orders: ordersOf(worker).slice(from, to),
    carts: Carts.carts(lines, hot === 1),
    inFlight,
    millis,
    every,
  });

  Serve.serve({
    /** A cell of its own, or one that other processes share. */
    open: async ({ cell = 0, shard = 0, soldOut = 0, hotUnits = 0, seeded = 0, worker = 0 }) => {
      ordersOf(worker);
      tally = Work.tally();
      engine = await open({ prefix: `cell${cell}`, shard, soldOut: soldOut === 1 });
      if (seeded === 1) {
        const goods = Carts.seed(hotUnits).values();
        const lane = { next: () => goods.next().value, seen: () => undefined };
        await engine.run(Array.from({ length: 64 }, () => lane));
      }
      // What an engine reads once at its beginning is not what is measured.
      await engine.books();
      return {};
    },
    reserve: async (input) => result(tally, await Work.reserving(opened(), ordering(input), tally)),
    live: async (input) => result(tally, await Work.living(opened(), ordering(input), tally)),
    fill: async ({ from = 0, to = 0, inFlight = 1 }) => {
      await Work.filling(opened(), from, to, inFlight, tally);
      return result(tally, 0);
    },
    churn: async ({ round = 0, pairs = 0, inFlight = 1 }) => {
      const micros = await Work.churning(opened(), round, pairs, inFlight, tally);
      return { ...result(tally, 0), micros };
    },
    /** How many of the books are wrong in themselves, and what they add up to. */
    audit: async () => {
      const all = await opened().books();
      const broken = all.filter(
        ({ onHand, held, committed, available }) => onHand !== held + committed + available || held < 0 || committed < 0 || available < 0,
      );
      const sum = (pick: (books: (typeof all)[number]) => number): number => all.reduce((total, books) => total + pick(books), 0);
      return {
        broken: broken.length,
        onHand: sum((books) => books.onHand),
        held: sum((books) => books.held),
        committed: sum((books) => books.committed),
      };
    },
    close: async () => {
      await opened().close();
      engine = undefined;
      return {};
    },
    ...more,
  });
};

const result = (tally: Work.Tally, seconds: number): Serve.Numbers => ({ ...tally, seconds });
