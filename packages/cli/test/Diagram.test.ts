import { Checkout, Message, OrderStatus, Saga, StateMachine } from "@org/saga-core";
import { Layer, Schema } from "effect";
import { describe, expect, test } from "vitest";
import * as Databases from "../src/Databases.ts";
import * as Output from "../src/Output.ts";
import * as SagaDiagram from "../src/SagaDiagram.ts";
import { memoryBrokers, runWith } from "./Shell.ts";

const definition = Checkout.make();
const lines = SagaDiagram.mermaid(definition)
  .split("\n")
  .map((line) => line.trim());
const services = Layer.merge(Databases.layer, memoryBrokers(new Set()));

describe("saga diagram", () => {
  test("order prints the life cycle, from the table that guards it", async () => {
    const { code, stdout, stderr } = await runWith(services, ["diagram", "order"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toBe(StateMachine.mermaid(OrderStatus.machine).trimEnd());
  });

  test("checkout prints the saga's steps", async () => {
    const { code, stdout } = await runWith(services, ["diagram", "checkout"]);
    expect([code, stdout]).toEqual([0, SagaDiagram.mermaid(definition).trimEnd()]);
  });
});

describe("the flowchart of a saga", () => {
  test("has every step and every undo exactly once", () => {
    for (const step of definition.steps) {
      const id = `do_${step.name.replaceAll("-", "_")}`;
      expect(lines.filter((line) => new RegExp(`^${id}[\\[({]`).test(line))).toHaveLength(1);
      const undos = lines.filter((line) => line.startsWith(`un${id}[/`));
      expect(undos).toHaveLength(step._tag === "Remote" && step.undo !== null ? 1 : 0);
    }
  });

  test("goes through the steps in order, and through the undos in reverse", () => {
    expect(lines.filter((line) => / --> /.test(line))).toEqual([
      "start --> do_start_checkout",
      "do_start_checkout --> do_check_balance",
      "do_check_balance --> do_reserve_stock",
      "do_reserve_stock --> do_authorize_payment",
      "do_authorize_payment --> do_complete_checkout",
      "do_complete_checkout --> do_commit_stock",
      "do_commit_stock --> do_capture_payment",
      "do_capture_payment --> do_confirm_payment",
      "do_confirm_payment --> do_fulfill",
      "do_fulfill --> do_ship_stock",
      "do_ship_stock --> do_finish",
      "do_finish --> completed",
      "undo_capture_payment --> undo_authorize_payment",
      "undo_authorize_payment --> undo_reserve_stock",
      "undo_reserve_stock --> compensated",
    ]);
  });

  test("turns around where the decider does: a failed step is passed by, one that timed out is undone itself", () => {
    expect(lines).toEqual(
      expect.arrayContaining([
        "do_check_balance -. failed, timed out .-> compensated",
        "do_reserve_stock -. failed .-> compensated",
        "do_reserve_stock -. timed out .-> undo_reserve_stock",
        "do_capture_payment -. refused .-> undo_authorize_payment",
        "do_fulfill -. failed .-> undo_capture_payment",
      ]),
    );
  });

  test("never turns around at a step that cannot fail for good", () => {
    expect(lines.filter((line) => line.startsWith("do_ship_stock -."))).toEqual([]);
  });

  test("shows the pivot, what steps send, and how long they wait", () => {
    expect(lines).toContain('do_capture_payment{{"capture-payment<br/>payment.capture.v1<br/>2m"}}');
    expect(lines).toContain('do_finish("finish")');
  });

  test("of a saga that has nothing to undo turns to its end at once", () => {
    const ping = { topic: "ping", key: () => "ping" };
    const Ping = Message.command("ping.v1", Schema.Null, ping);
    const Pong = Message.event("pong.v1", Schema.Null, ping);
    const tiny = Saga.make("tiny", { version: 7, data: Schema.Null }).pipe(
      Saga.pivot("end", { send: Ping, with: () => null, done: Pong, undo: { none: "it changes nothing" }, timeout: "1 minute" }),
    );
    expect(SagaDiagram.mermaid(tiny)).toBe(
      [
        "flowchart TD",
        "  start([tiny v7])",
        '  do_end{{"end<br/>ping.v1<br/>1m"}}',
        "  completed([completed])",
        "  compensated([compensated])",
        "  start --> do_end",
        "  do_end --> completed",
        "  do_end -. refused .-> compensated",
        "",
      ].join("\n"),
    );
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
