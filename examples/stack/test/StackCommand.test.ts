import { describe, expect, it } from "vitest";
import * as Guide from "../src/Guide.ts";
import * as StackCommand from "../src/StackCommand.ts";

describe("npm run stack", () => {
  it("starts the real stack, and keeps serving or ends after the flows", () => {
    expect(StackCommand.parse(["--real"])).toEqual({ _tag: "Real", once: false, logFolder: null });
    expect(StackCommand.parse(["--real", "--once", "--keep-logs", "logs"])).toEqual({ _tag: "Real", once: true, logFolder: "logs" });
  });

  it("runs the flows on a stack that runs already", () => {
    expect(StackCommand.parse(["--flows", "http://127.0.0.1:3000/"])).toEqual({ _tag: "Flows", url: "http://127.0.0.1:3000" });
    expect(StackCommand.parse(["--flows", "https://shop.example"])).toEqual({ _tag: "Flows", url: "https://shop.example" });
  });

  it("explains itself", () => {
    expect(StackCommand.parse(["--help"])).toEqual({ _tag: "Help" });
    expect(StackCommand.parse(["-h", "--real"])).toEqual({ _tag: "Help" });
    for (const flag of ["--real", "--once", "--keep-logs", "--flows", "--help"]) expect(StackCommand.USAGE).toContain(flag);
  });

  it.each([
    [[], "--real"],
    [["--once"], "--real"],
    [["--reel"], "--reel"],
    [["--real", "now"], "now"],
    [["--flows"], "--flows"],
    [["--flows", "localhost"], "URL"],
    [["--flows", "ftp://127.0.0.1"], "URL"],
    [["--flows", "http://127.0.0.1:3000", "--real"], "alone"],
    [["--flows", "http://127.0.0.1:3000", "--once"], "alone"],
    [["--flows", "http://127.0.0.1:3000", "--keep-logs", "logs"], "alone"],
    [["--real", "--keep-logs"], "--keep-logs"],
    [["--real", "--keep-logs="], "folder"],
  ])("does not guess what %j means", (argv, word) => {
    expect(StackCommand.parse(argv)).toEqual({ _tag: "Usage", problem: expect.stringContaining(word) });
  });
});

describe("the guide", () => {
  const order = { name: "order", url: "http://127.0.0.1:3000" };

  it("names the API, its page, health and metrics", () => {
    const text = Guide.lines(order, [{ name: "checkout", url: "http://127.0.0.1:3001" }], null).join("\n");
    for (const path of ["/api/v1/orders", "/docs", "/openapi.json", "/readyz", "/metrics"]) expect(text).toContain(`${order.url}${path}`);
    expect(text).toContain("http://127.0.0.1:3001/metrics");
  });

  it("says where the command line finds the stack: as the command line takes it, without passwords, and nothing that is not set", () => {
    const url = "postgres://postgres@127.0.0.1:5432/saga";
    const lines = Guide.operating([
      ["SAGA_PG_URL", url],
      ["SAGA_REDIS_URL", "redis://u:hunter2@cache:6379/1"],
      ["SAGA_REDIS_PREFIX", ""],
      ["SAGA_KAFKA_BROKERS", "a:9092,b:9092"],
    ]);
    expect(lines.filter((line) => line.startsWith("  export"))).toEqual([
      `  export SAGA_PG_URL='${url}'`,
      "  export SAGA_REDIS_URL='redis://u:***@cache:6379/1'",
      "  export SAGA_KAFKA_BROKERS='a:9092,b:9092'",
    ]);
  });

  it("hides a password wherever a URL may have it", () => {
    const shown = (url: string) => Guide.operating([["SAGA_PG_URL", url]]).find((line) => line.startsWith("  export"));
    expect(shown("postgres://me:hunter2@h1:1,h2:2/db")).toBe("  export SAGA_PG_URL='postgres://me:***@h1:1,h2:2/db'");
    expect(shown("postgres://h/db?user=me&password=hunter2&sslpassword=hunter2&sslmode=require")).toBe(
      "  export SAGA_PG_URL='postgres://h/db?user=me&password=***&sslpassword=***&sslmode=require'",
    );
  });

  it("asks about an order only if there is one", () => {
    expect(Guide.commands(order.url, null).join("\n")).not.toContain("cancel");
    const commands = Guide.commands(order.url, { orderId: "o-1", customerId: "ada" }).join("\n");
    expect(commands).toContain(`${order.url}/api/v1/orders/o-1/cancel -H 'x-customer-id: ada'`);
  });
});
