import { Effect } from "effect";
import { describe, test } from "vitest";
import * as MemoryStockBooks from "../../src/memory/MemoryStockBooks.ts";
import * as StockBooksContract from "../../src/testing/contracts/StockBooksContract.ts";

describe("MemoryStockBooks keeps the contract of StockBooks: it", () => {
  for (const { name, run } of StockBooksContract.cases) {
    test(name, () => Effect.runPromise(Effect.provide(run, MemoryStockBooks.layer)));
  }
});
