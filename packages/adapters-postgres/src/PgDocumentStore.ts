/** `DocumentStore` on PostgreSQL: one row a document. */
import { type Document, DocumentStore } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgState from "./PgState.ts";

const TABLE: PgState.StateTable = { name: "documents", kind: "kind", more: [] };

export const layer: Layer.Layer<DocumentStore, never, PgClient> = Layer.effect(
  DocumentStore,
  Effect.map(PgClient, (client) => {
    const sql = PgState.statements(client.tables, TABLE);
    return {
      load: (kind, ids) => Effect.map(client.within<Document>("DocumentStore.load", sql.lock, [kind, ids]), ({ rows }) => byId(rows)),
      save: (documents) =>
        PgState.save(
          client,
          "DocumentStore.save",
          sql,
          documents.map((document) => ({ ...document, more: [] })),
        ),
      find: (kind, ids) => Effect.map(client.query<Document>("DocumentStore.find", sql.read, [kind, ids]), ({ rows }) => byId(rows)),
    };
  }),
);

const byId = (rows: ReadonlyArray<Document>): ReadonlyMap<string, Document> => new Map(rows.map((row) => [row.id, row]));
