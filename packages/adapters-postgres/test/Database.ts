/** A database of a test file's own on the real server. */
import pg from "pg";

export interface Database {
  readonly url: string;
  readonly drop: () => Promise<void>;
}

export const create = async (serverUrl: string): Promise<Database> => {
  const name = `saga_test_${process.pid}_${Math.random().toString(36).slice(2, 10)}`;
  await administer(serverUrl, `create database ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => administer(serverUrl, `drop database if exists ${name} with (force)`) };
};

/** One statement as the server's administrator. */
export const administer = async (url: string, statement: string): Promise<void> => {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
};
