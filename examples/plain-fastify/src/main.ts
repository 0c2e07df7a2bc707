/**
 * The shop as a process: `PORT` (3000 unless it is set), `DATABASE_URL` for a PostgreSQL server in place of the embedded one. Its
 * world says yes to everything.
 */
import { PgDatabase } from "@org/saga-postgres";
import { build, migrations } from "./app.ts";

const { DATABASE_URL: url, PORT: port = "3000" } = process.env;

const app = await build({
  ...(url === undefined ? {} : { database: PgDatabase.server({ url, schema: "shop", migrations }) }),
  world: { reserve: async () => true, release: async () => undefined, charge: async () => true, ship: async () => undefined },
  onClosed: async ({ id, status }) => console.log(`order ${id}: ${status}`),
  onReview: async ({ orderId, stars }) => console.log(`order ${orderId}: ${stars} stars`),
});

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void app.close());

console.log(`The shop listens on ${await app.listen({ port: Number(port) })}`);
