/** `DocumentStore` on a `MemoryDatabase`. */
import { Effect, Layer } from "effect";
import { type Document, DocumentStore } from "../ports/DocumentStore.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";
import * as MemoryState from "./MemoryState.ts";

export const layer: Layer.Layer<DocumentStore, never, MemoryDatabase.CurrentDatabase> = Layer.effect(
  DocumentStore,
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => ({
    load: (kind, ids) =>
      FaultPoint.around(
        "DocumentStore.load",
        Effect.map(MemoryState.load(database, database.documents, "DocumentStore.load", kind, ids), documentsOf),
      ),
    save: (documents) =>
      FaultPoint.around("DocumentStore.save", MemoryState.save(database, database.documents, "DocumentStore.save", documents.map(rowOf))),
    find: (kind, ids) => FaultPoint.around("DocumentStore.find", Effect.map(MemoryState.find(database.documents, kind, ids), documentsOf)),
  })),
);

const rowOf = (document: Document) => ({ ...document, version: 1, status: "" });

const documentsOf = (rows: ReadonlyArray<MemoryDatabase.StateRow>): ReadonlyMap<string, Document> =>
  new Map(rows.map((row) => [row.id, { kind: row.kind, id: row.id, revision: row.revision, state: MemoryState.valueOf(row.state) }]));
