/** For test files: the real servers of this run. */
import { inject } from "vitest";
import type {} from "./vitest.ts";

/**
 * Where a server of this run answers, or null where there is none: `describe.runIf(realServer("kafka"))`. Shared by all tests of the run:
 * take a database, a key prefix, topics and groups of your own.
 */
export function realServer(name: "postgres" | "redis"): string | null;
export function realServer(name: "kafka"): string[] | null;
export function realServer(name: "postgres" | "redis" | "kafka"): string | string[] | null {
  switch (name) {
    case "postgres":
      return inject("postgresUrl") ?? null;
    case "redis":
      return inject("redisUrl") ?? null;
    case "kafka":
      return inject("kafkaBrokers") ?? null;
  }
}
