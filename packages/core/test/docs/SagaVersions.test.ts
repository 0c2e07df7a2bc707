/** The code of docs/guides/saga-versions.md compiles, and does what it says. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { Saga, SagaDifference, SagaStart, SagaVersions } from "@org/saga-core";
import { older, v1, v2 } from "./sagaVersions.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

it("the guide of versions shows the code of sagaVersions.ts", () => {
  expect(read("../../../../docs/guides/saga-versions.md")).toContain(`\`\`\`ts\n${read("./sagaVersions.ts")}\`\`\``);
});

it("the guide shows what is said of the second version under the number of the first", () => {
  const differences = SagaDifference.of(Saga.shapeOf(v1), Saga.shapeOf(v2));
  const { message } = new SagaStart.SagaChanged({ saga: "trip", version: 1, differences: [...differences], live: 12 });
  expect(read("../../../../docs/guides/saga-versions.md")).toContain(`\n${message}\n`);
});

it("the guide's instances of the first version go on in the second one, uninsured", () => {
  const [begun] = SagaVersions.make(v1).start({ _tag: "Start", id: "t", data: { trip: "t" }, now: 0 });
  const moved = SagaVersions.load(SagaVersions.make(v2, older), 1, begun.encode());
  expect(moved?.instance).toMatchObject({ version: 2, data: { trip: "t", insured: false }, steps: { book: { status: "sent" } } });
});
