import { describe, expect, it } from "vitest";
import * as PgStatements from "../src/PgStatements.ts";

describe("a statement that begins or ends a transaction", () => {
  it.each([
    ["commit", "COMMIT"],
    ["COMMIT AND CHAIN;", "COMMIT"],
    [" \n\tRollback", "ROLLBACK"],
    ["rollback work", "ROLLBACK"],
    ["rollback transaction and no chain", "ROLLBACK"],
    ["rollback prepared 'to'", "ROLLBACK"],
    ["begin isolation level serializable", "BEGIN"],
    ["start transaction read only", "START TRANSACTION"],
    ["abort", "ABORT"],
    ["end", "END"],
    ["prepare transaction 'x'", "PREPARE TRANSACTION"],
    ["-- why\ncommit", "COMMIT"],
    ["/* a /* b */ c */commit", "COMMIT"],
    ["select 1;commit", "COMMIT"],
    ["select ';'; -- ;\n commit", "COMMIT"],
    ["select E'\\'; ', '''' ; commit", "COMMIT"],
    ["select e'''';commit", "COMMIT"],
    ['select 1 as "a"";b"; commit', "COMMIT"],
    ["do $a$ begin $$;$$ end $a$; commit", "COMMIT"],
    ["select $1, 1e2, a$b$ from c$b$; commit", "COMMIT"],
    ["create function f() returns int begin atomic select case when true then 1 end; select 2; end; commit", "COMMIT"],
    ["select 'ä' as ä; commit", "COMMIT"],
  ])("is found in %j", (text, found) => {
    expect(PgStatements.endsTransaction(text)).toBe(found);
  });

  it.each([
    "",
    "select 1",
    "rollback to a",
    "rollback work to savepoint a",
    "ROLLBACK TRANSACTION TO a;",
    "savepoint a; release a",
    "prepare commit as select 1",
    "start",
    'begins; commits; "commit"; (commit)',
    "-- commit",
    "-- ; commit\nselect 1",
    "/* ; commit",
    "/* /* */ ; commit; */ select 1;",
    "select '; commit'",
    "select E'\\\\''; commit; '",
    "select E'\\'; commit",
    "select '; commit",
    'select "; commit',
    "do $$ begin commit; end $$",
    "do $$ ; commit",
    "create function f() returns int language plpgsql as $body$ begin; commit; $$; end; $body$; select 1",
    "create procedure p() begin atomic insert into a values (case when true then 1 end); delete from b; end",
    'insert into t values (1); update t set begin = 1, "end" = 2',
    "select case when a then b end; select 1",
  ])("is not in %j", (text) => {
    expect(PgStatements.endsTransaction(text)).toBe(null);
  });
});
