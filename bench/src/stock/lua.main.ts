/** The peer: every command a call of a Lua script. */
import type { StockCommand } from "@org/saga-core";
import type { Engine } from "./Engine.ts";
import * as LuaCheck from "./LuaCheck.ts";
import * as LuaStock from "./LuaStock.ts";
import { serve } from "./ServeStock.ts";

const url = process.env["BENCH_REDIS_URL"] ?? "";

const open = async (prefix: string): Promise<Engine> => {
  const lua = await LuaStock.open(url, prefix);
  const word = (answer: string): string => {
    const end = answer.indexOf(" ");
    return end < 0 ? answer : answer.slice(0, end);
  };
  const ask = (command: StockCommand): Promise<string> => {
    if (command._tag === "Ship" || command._tag === "Renew") throw new Error(`${command._tag} is not measured`);
    return lua.ask(command);
  };
  return {
    run: async (lanes) => {
      const lane = async ({ next, seen }: (typeof lanes)[number]): Promise<void> => {
        for (let command = next(); command !== undefined; command = next()) seen(command, word(await ask(command)));
      };
      await Promise.all(lanes.map(lane));
    },
    books: async () =>
      (await lua.books()).map(({ onHand, free, committed }) => ({ onHand, committed, available: free, held: onHand - free - committed })),
    close: async () => lua.close(),
  };
};

serve(({ prefix, shard }) => open(`${prefix}:${shard}`), { check: async () => ({ different: await LuaCheck.differences(url) }) });
