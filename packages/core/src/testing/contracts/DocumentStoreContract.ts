/** What every `DocumentStore` has to prove. */
import { Effect } from "effect";
import { DocumentStore } from "../../ports/DocumentStore.ts";
import { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as Revisioned from "./Revisioned.ts";
import * as Samples from "./Samples.ts";

export type Ports = UnitOfWork | DocumentStore;

const store: Effect.Effect<Revisioned.Store, never, DocumentStore> = Effect.map(DocumentStore, (documents) => ({
  load: (ids) => documents.load(Samples.KIND, ids),
  save: (rows) => documents.save(rows.map((row) => Samples.document(row.id, row.revision, row.state))),
  find: (ids) => documents.find(Samples.KIND, ids),
}));

export const cases: ReadonlyArray<Contract.Case<Ports>> = [
  ...Revisioned.cases("document", store),
  Contract.check(
    "kinds do not share their ids, and a document knows its kind",
    Effect.gen(function* () {
      const id = yield* Contract.unique("document");
      const unit = yield* UnitOfWork;
      const documents = yield* DocumentStore;
      const payment = { kind: "contract-payment", id, revision: 1, state: "payment" };
      const shipment = { kind: "contract-shipment", id, revision: 1, state: "shipment" };
      yield* unit.commit(documents.save([payment, shipment]));
      yield* Contract.equal((yield* documents.find("contract-payment", [id])).get(id), payment, "one kind");
      yield* Contract.equal((yield* unit.commit(documents.load("contract-shipment", [id]))).get(id), shipment, "the other kind");
    }),
  ),
];
