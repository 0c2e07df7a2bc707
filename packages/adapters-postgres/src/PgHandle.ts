/**
 * The driver library's own handle of an open transaction, in a user's hands. It can do all that the library's can, but:
 *
 * 1. It ends with the transaction. A connection goes back to the pool then, and on to the next one: whoever kept the handle would
 *    write into that.
 * 2. Only the transaction gives its connection back.
 * 3. A statement that would begin or end a transaction is not sent, and the transaction can only roll back: what was written
 *    before such a statement would be committed, or lost, by itself.
 */
import { Predicate } from "effect";
import { endsTransaction, EndsTransaction, whyNot } from "./PgStatements.ts";

export interface Guarded<Handle> {
  readonly guarded: Handle;
  /** Why the transaction can only roll back, or null. */
  readonly refused: () => EndsTransaction | null;
}

export const guarded = <Handle extends object>(handle: Handle, isEnded: () => boolean): Guarded<Handle> => {
  let refused: EndsTransaction | null = null;
  const checkOpen = (): void => {
    if (isEnded()) throw new Error("the transaction has ended: its client cannot be used any more");
  };
  const check = (statement: unknown): void => {
    const ending = endsTransaction(textOf(statement));
    if (ending === null) return;
    refused ??= new EndsTransaction(whyNot(ending));
    throw refused;
  };
  return {
    guarded: new Proxy(handle, {
      get: (target, name): unknown => {
        checkOpen();
        if (name === "release" || name === "end") throw new Error("the client belongs to the transaction, and is released with it");
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        return (...args: ReadonlyArray<unknown>): unknown => {
          checkOpen();
          if (name === "query" || name === "exec") check(args[0]);
          return Reflect.apply(value, target, args);
        };
      },
    }),
    refused: () => refused,
  };
};

/** A text, or what has one: a query of node-postgres, or its cursor. */
const textOf = (statement: unknown): string => {
  if (typeof statement === "string") return statement;
  return Predicate.hasProperty(statement, "text") && typeof statement.text === "string" ? statement.text : "";
};
