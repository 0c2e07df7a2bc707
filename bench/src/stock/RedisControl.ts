/** The bench's own hand on the Redis server. */
import { Redis } from "ioredis";
import * as Serve from "../Serve.ts";

export interface RedisControl {
  /** Empties the server, and its log with it: what a cell left must not cost the next one. */
  readonly clear: () => Promise<void>;
  /** Bytes of data: without what waits to be logged, and without the clients' buffers. */
  readonly bytes: () => Promise<number>;
  readonly close: () => void;
}

/** A log of nothing is written by then, in milliseconds. */
const REWRITTEN_MS = 10_000;

/** Settings of the server: durable as Redis usually is, and no rewrite of the log in the middle of a cell. */
export const SETTINGS = { appendonly: "yes", appendfsync: "everysec", "auto-aof-rewrite-percentage": "0" };

export const open = (url: string): RedisControl => {
  const redis = new Redis(url);
  const number = async (section: string, name: string): Promise<number> =>
    Number(new RegExp(`${name}:(\\d+)`, "u").exec(await redis.info(section))?.[1] ?? Number.NaN);
  return {
    clear: async () => {
      await redis.flushall("SYNC");
      await redis.bgrewriteaof();
      await Serve.until(async () => (await number("persistence", "aof_rewrite_in_progress")) === 0, REWRITTEN_MS);
    },
    bytes: async () =>
      (await number("memory", "used_memory")) - (await number("memory", "mem_aof_buffer")) - (await number("memory", "mem_clients_normal")),
    close: () => redis.disconnect(),
  };
};
