/** Starts two servers, says what they are, and never stops them. */
import { dirname } from "node:path";
import { startPostgres, startRedis } from "../src/index.ts";

process.on("SIGUSR2", () => process.exit(0));
const servers = await Promise.all([startPostgres(), startRedis()]);
console.log(JSON.stringify({ pids: servers.map(({ pid }) => pid), folders: servers.map(({ logFile }) => dirname(logFile)) }));
setInterval(() => undefined, 1_000);
