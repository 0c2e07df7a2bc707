/**
 * What every contender does: a request writes a business row and a message; handling a message leaves an effect, a row of its own.
 * The effect has a primary key, so handling twice shows.
 */

export interface Business {
  readonly id: string;
  readonly customer: string;
  readonly amount: number;
}

/** The n-th request of a round. */
export const business = (round: string, n: number): Business => ({
  id: `${round}-${n}`,
  customer: `customer-${n % 1_000}`,
  amount: 1_250 + (n % 100),
});

export const tables = (schema: string): ReadonlyArray<string> => [
  `create schema if not exists ${schema}`,
  `create table ${schema}.business (id text primary key, customer text not null, amount integer not null, at timestamptz not null default now())`,
  `create table ${schema}.effects (id text primary key, at timestamptz not null default now())`,
];

export const insertOne = (schema: string): string => `insert into ${schema}.business (id, customer, amount) values ($1, $2, $3)`;

export const insertMany = (schema: string): string =>
  `insert into ${schema}.business (id, customer, amount) select * from unnest($1::text[], $2::text[], $3::int[])`;

/** Fails on an effect that is there already: then a message was handled twice. */
export const effectMany = (schema: string): string => `insert into ${schema}.effects (id) select unnest($1::text[])`;

/** Effects of a handler that may run twice. */
export const effectOnce = (schema: string): string => `${effectMany(schema)} on conflict do nothing`;

export const count = (table: string): string => `select count(*)::int as count from ${table}`;

export const clear = (schema: string): string => `truncate ${schema}.business, ${schema}.effects`;
