/** Errors of the drivers are classified once, and never tell more than they should. */
import { describe, expect, it } from "vitest";
import { classify, isDatabaseError, reasonOf, sqlstateOf } from "../src/PgError.ts";

/** As both drivers report what the server says. */
const serverError = (code: string, fields: Readonly<Record<string, string>> = {}): Error =>
  Object.assign(new Error("Key (id)=(secret-value) already exists."), { code, severity: "ERROR", detail: "secret-value", ...fields });

const systemError = (code: string): Error => Object.assign(new Error(`connect ${code} postgres://user:secret-value@host`), { code });

describe("what the server answers", () => {
  it.each([
    ["40001", "Contention"],
    ["40P01", "Contention"],
    ["55P03", "Contention"],
    ["57014", "Contention"],
    ["0A000", "Contention"],
    ["23502", "Refused"],
    ["23503", "Refused"],
    ["23505", "Refused"],
    ["23514", "Refused"],
    ["22021", "Refused"],
    ["22P02", "Refused"],
    ["54000", "Refused"],
    ["08006", "Unavailable"],
    ["25006", "Unavailable"],
    ["26000", "Unavailable"],
    ["25P03", "Unavailable"],
    ["42P01", "Unavailable"],
    ["42501", "Unavailable"],
    ["3F000", "Unavailable"],
    ["53100", "Unavailable"],
    ["53300", "Unavailable"],
    ["57P01", "Unavailable"],
    ["57P03", "Unavailable"],
    ["58030", "Unavailable"],
    ["XX000", "Unavailable"],
    ["42601", "Misuse"],
    ["25P02", "Refused"],
    ["28P01", "Misuse"],
    ["3D000", "Misuse"],
    ["40003", "Unknown"],
    ["P0001", "Refused"],
  ] as const)("SQLSTATE %s is %s", (code, reason) => {
    expect(reasonOf(code)).toBe(reason);
    expect(classify("Outbox.append", "statement", serverError(code)).reason).toBe(reason);
  });

  it("a unique violation on a state's key is a lost race, on anything else a refusal", () => {
    expect(classify("OrderStore.save", "statement", serverError("23505", { constraint: "orders_pkey" })).reason).toBe("Contention");
    expect(classify("OrderStore.save", "statement", serverError("23505", { constraint: "users_email_key" })).reason).toBe("Refused");
  });

  it("by the client's schema and prefix: a table elsewhere that is called alike is its owner's", () => {
    const at = (schema: string, constraint: string, prefix: string) =>
      classify("OrderStore.save", "statement", serverError("23505", { schema, constraint }), { schema: "shop", prefix }).reason;
    expect(at("shop", "orders_pkey", "")).toBe("Contention");
    expect(at("public", "orders_pkey", "")).toBe("Refused");
    expect(at("shop", "customer_orders_pkey", "")).toBe("Refused");
    expect(at("shop", "app_orders_pkey", "app_")).toBe("Contention");
    expect(at("shop", "orders_pkey", "app_")).toBe("Refused");
    expect(at("shop", "other_orders_pkey", "app_")).toBe("Refused");
  });

  it("a message names the state, its meaning and the constraint or table, and holds no values", () => {
    const unique = classify("OrderStore.save", "statement", serverError("23505", { constraint: "orders_pkey" }));
    expect(unique.message).toBe("SQLSTATE 23505 unique_violation (constraint orders_pkey)");
    expect(unique.operation).toBe("OrderStore.save");
    const missing = classify("OrderStore.save", "statement", serverError("42P01", { table: "orders" }));
    expect(missing.message).toBe("SQLSTATE 42P01 undefined_table: run the migrations (table orders)");
    expect(classify("x", "statement", serverError("P0001")).message).toBe("SQLSTATE P0001");
    for (const error of [unique, missing]) expect(JSON.stringify(error)).not.toContain("secret-value");
  });

  it.each([
    ["28000", "invalid_authorization_specification: the server does not let this role in: look at SAGA_PG_URL, or the option url"],
    ["28P01", "invalid_password: look at SAGA_PG_URL, or the option url"],
    ["3D000", "invalid_catalog_name: the database does not exist: create it, or look at SAGA_PG_URL, or the option url"],
  ])("of an address that is wrong (%s) it says where to look", (code, words) => {
    expect(classify("UnitOfWork.begin", "statement", serverError(code)).message).toBe(`SQLSTATE ${code} ${words}`);
  });

  it("of a password that is missing, which the driver finds out, it says where to look, too", () => {
    const missing = new Error("SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string");
    expect(classify("UnitOfWork.begin", "statement", missing)).toMatchObject({
      reason: "Misuse",
      message: "driver: the server wants a password, and there is none: look at SAGA_PG_URL, or the option url",
    });
  });

  it("tells its SQLSTATE, and only the server's", () => {
    expect(sqlstateOf(serverError("42P01"))).toBe("42P01");
    expect(sqlstateOf(systemError("EPIPE"))).toBeNull();
    expect(sqlstateOf("42P01")).toBeNull();
    expect(sqlstateOf(Object.assign(new Error("x"), { code: 7, severity: "ERROR" }))).toBeNull();
  });
});

describe("what users' own code rejects with", () => {
  it("is the database's only if the server, the driver or the system says so", () => {
    const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", syscall: "connect" });
    for (const theirs of [refused, new Error("Connection terminated unexpectedly"), new Error("Query read timeout")]) {
      expect(isDatabaseError(theirs)).toBe(true);
      expect(isDatabaseError(new Error("Failed query", { cause: theirs }))).toBe(true);
    }
    const argument = Object.assign(new TypeError("invalid argument"), { code: "ERR_INVALID_ARG_TYPE" });
    for (const bug of [argument, new Error("no such socket in the warehouse"), new Error("connection: unknown"), "text", null]) {
      expect(isDatabaseError(bug)).toBe(false);
    }
  });
});

describe("what nobody answers", () => {
  it.each([
    [systemError("ECONNREFUSED"), "connection: ECONNREFUSED"],
    [systemError("ENOTFOUND"), "connection: ENOTFOUND: no such host: look at SAGA_PG_URL, or the option url"],
    [systemError("ECONNRESET"), "connection: ECONNRESET"],
    [new AggregateError([systemError("ECONNREFUSED")], "secret-value"), "connection: lost"],
    [new Error("Connection terminated unexpectedly"), "connection: lost"],
    [
      new Error("timeout exceeded when trying to connect"),
      "connection: no connection became free in time: raise poolSize, or look for long transactions",
    ],
    [new Error("Connection terminated due to connection timeout"), "connection: no answer in time"],
    [new Error("Query read timeout"), "connection: no answer in time"],
    [new Error("Cannot use a pool after calling end on the pool"), "connection: closed"],
    [new Error("PGlite is closed"), "connection: closed"],
  ])("%s is Unavailable, and Unknown while committing", (cause, message) => {
    expect(classify("Inbox.admit", "statement", cause)).toMatchObject({ reason: "Unavailable", message, isRetryable: true });
    expect(classify("UnitOfWork.commit", "commit", cause)).toMatchObject({ reason: "Unknown", message, isRetryable: false });
  });

  it("a server that goes away while committing leaves the outcome unknown; a constraint checked at commit does not", () => {
    for (const code of ["57P01", "08006", "25P03"])
      expect(classify("UnitOfWork.commit", "commit", serverError(code)).reason).toBe("Unknown");
    expect(classify("UnitOfWork.commit", "commit", serverError("23503")).reason).toBe("Refused");
    expect(classify("UnitOfWork.commit", "commit", serverError("40001")).reason).toBe("Contention");
  });

  it("what the driver cannot encode is refused, since the same again cannot help", () => {
    expect(classify("Outbox.append", "statement", new TypeError("secret-value"))).toMatchObject({
      reason: "Refused",
      message: "driver: TypeError",
    });
    expect(classify("Outbox.append", "statement", "secret-value")).toMatchObject({ reason: "Refused", message: "driver: unknown error" });
    expect(classify("UnitOfWork.commit", "commit", new TypeError("secret-value")).reason).toBe("Unknown");
  });
});
