import { Checkout, OrderStatus, SagaDiagram, StateMachine } from "@org/saga-core";
import { Layer } from "effect";
import { describe, expect, test } from "vitest";
import * as Databases from "../src/Databases.ts";
import * as Output from "../src/Output.ts";
import { memoryBrokers, runWith } from "./Shell.ts";

const services = Layer.merge(Databases.layer, memoryBrokers(new Set()));

describe("saga diagram", () => {
  test("order prints the life cycle, from the table that guards it", async () => {
    const { code, stdout, stderr } = await runWith(services, ["diagram", "order"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toBe(StateMachine.mermaid(OrderStatus.machine).trimEnd());
  });

  test.each([
    ["checkout", SagaDiagram.states(Checkout.make())],
    ["checkout-sequence", SagaDiagram.sequence(Checkout.make())],
  ])("%s prints the saga, from the definition that runs", async (what, text) => {
    const { code, stdout } = await runWith(services, ["diagram", what]);
    expect([code, stdout]).toEqual([0, text.trimEnd()]);
  });
});

describe("a table", () => {
  test("is as wide as its widest cells, also where characters are wide", () => {
    expect(
      Output.table(
        ["A", "B"],
        [
          ["漢字", "x"],
          ["y", ""],
        ],
      ),
    ).toBe("A     B\n漢字  x\ny");
  });

  test("without rows is its head", () => {
    expect(Output.table(["A", "B"], [])).toBe("A  B");
  });

  test("prints control characters as blanks", () => {
    expect(Output.table(["A"], [["\u001b[2Jx\ny"]])).toBe("A\n [2Jx y");
  });
});
