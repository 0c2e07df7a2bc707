/**
 * Statistics of all tables of a server, as they are in production, where autovacuum makes them within a minute: without them a
 * planner takes tables that grew within seconds to be empty.
 */
import pg from "pg";

export const analyze = async (url: string): Promise<void> => {
  const databases = await query(url, "select datname as name from pg_database where datallowconn and not datistemplate");
  for (const { name } of databases) {
    const one = new URL(url);
    one.pathname = `/${name}`;
    await query(one.href, "vacuum analyze");
  }
};

const query = async (url: string, text: string): Promise<ReadonlyArray<{ readonly name: string }>> => {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query<{ readonly name: string }>(text)).rows;
  } finally {
    await client.end();
  }
};
