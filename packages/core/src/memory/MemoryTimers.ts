/** `Timers` on a `MemoryDatabase`. A timer that an open transaction touches is skipped by claims, as a locked row would be. */
import { Effect, Layer } from "effect";
import { type Timer, type TimerKey, type TimerMove, Timers } from "../ports/Timers.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";
import { keyOf } from "./MemoryTable.ts";

export const layer: Layer.Layer<Timers, never, MemoryDatabase.CurrentDatabase> = Layer.effect(
  Timers,
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => {
    const writing = (operation: string, write: () => void) =>
      FaultPoint.around(operation, Effect.map(MemoryDatabase.current(database, operation), write));
    return {
      schedule: (timers) =>
        writing("Timers.schedule", () => {
          for (const timer of timers) database.timers.put(rowKey(timer), { timer, hiddenUntil: 0 });
        }),
      reschedule: (moves) => FaultPoint.around("Timers.reschedule", reschedule(database, moves)),
      cancel: (timers) =>
        writing("Timers.cancel", () => {
          for (const timer of timers) database.timers.remove(rowKey(timer));
        }),
      complete: (timers) =>
        writing("Timers.complete", () => {
          for (const timer of timers) {
            const key = rowKey(timer);
            if (database.timers.get(key)?.timer.token === timer.token) database.timers.remove(key);
          }
        }),
      claimDue: (owner, max, leaseMillis) => FaultPoint.around("Timers.claimDue", claimDue(database, owner, max, leaseMillis)),
      nextDueAt: (owner) =>
        FaultPoint.around(
          "Timers.nextDueAt",
          Effect.sync(() => rowsOf(database, owner).map(claimableAt).toSorted(ascending)[0] ?? null),
        ),
      list: (owner, key) =>
        FaultPoint.around(
          "Timers.list",
          Effect.sync(() =>
            rowsOf(database, owner)
              .map((row) => row.timer)
              .filter((timer) => timer.key === key)
              .toSorted(byDueTime),
          ),
        ),
      pending: (owner, { after, max }) =>
        FaultPoint.around(
          "Timers.pending",
          Effect.sync(() =>
            rowsOf(database, owner)
              .map((row) => row.timer)
              .filter((timer) => after === null || byDueTime(timer, after) > 0)
              .toSorted(byDueTime)
              .slice(0, max),
          ),
        ),
    };
  }),
);

const claimDue = Effect.fnUntraced(function* (database: MemoryDatabase.Database, owner: string, max: number, leaseMillis: number) {
  const now = yield* MemoryDatabase.now;
  const due = rowsOf(database, owner)
    .filter((row) => claimableAt(row) <= now && !database.timers.isChanged(rowKey(row.timer)))
    .toSorted((left, right) => left.timer.dueAt - right.timer.dueAt)
    .slice(0, max);
  for (const { timer } of due) database.timers.putCommitted(rowKey(timer), { timer, hiddenUntil: now + leaseMillis });
  return due.map((row) => row.timer);
});

const reschedule = Effect.fnUntraced(function* (database: MemoryDatabase.Database, moves: ReadonlyArray<TimerMove>) {
  yield* MemoryDatabase.current(database, "Timers.reschedule");
  return moves.map((move): "Rescheduled" | "Missing" => {
    const row = database.timers.get(rowKey(move));
    if (row === undefined) return "Missing";
    database.timers.put(rowKey(move), { timer: { ...row.timer, dueAt: move.dueAt }, hiddenUntil: 0 });
    return "Rescheduled";
  });
});

const rowKey = (timer: TimerKey): string => keyOf(timer.owner, timer.key, timer.name);

const rowsOf = (database: MemoryDatabase.Database, owner: Timer["owner"]): ReadonlyArray<MemoryDatabase.TimerRow> =>
  [...database.timers.committed.values()].filter((row) => row.timer.owner === owner);

const claimableAt = (row: MemoryDatabase.TimerRow): number => Math.max(row.timer.dueAt, row.hiddenUntil);

const ascending = (left: number, right: number): number => left - right;

const byDueTime = (left: Pick<Timer, "key" | "name" | "dueAt">, right: Pick<Timer, "key" | "name" | "dueAt">): number =>
  left.dueAt - right.dueAt || compare(left.key, right.key) || compare(left.name, right.name);

const compare = (left: string, right: string): number => (left === right ? 0 : left < right ? -1 : 1);
