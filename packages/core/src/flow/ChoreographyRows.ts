/** How a service's rows of a choreographed saga are kept: by `SagaStore`, in its own schema, one a instance. */
import { Effect, Schema } from "effect";
import type * as Message from "../domain/Message.ts";
import type { Projection } from "../domain/saga/choreography/Choreography.ts";
import * as Known from "../domain/saga/choreography/Known.ts";
import * as Row from "../domain/saga/choreography/Row.ts";
import * as SagaInstance from "../domain/saga/SagaInstance.ts";
import { type SagaRecord, SagaStore } from "../ports/SagaStore.ts";
import * as Batch from "./Batch.ts";

/** A row and the revision it was loaded with; 0: never saved. */
export interface Kept<D> {
  readonly row: Row.Row<D> | null;
  readonly revision: number;
}

export const NOTHING: Kept<never> = { row: null, revision: 0 };

interface Changed<D> {
  readonly key: string;
  readonly before: Kept<D>;
  readonly after: Kept<D>;
}

/** Of one projection: an instance of another version is left alone. */
export const make = <D, C>({ definition, whole }: Projection<D, C>) => {
  const json = Schema.toCodecJson(Row.schemaOf(SagaInstance.schemaOf(Known.schemaOf(whole.data))));
  const decode = Schema.decodeUnknownSync(json);
  const encode = Schema.encodeSync(json);
  const recordOf = ({ key, before, after: { row } }: Changed<D>): ReadonlyArray<SagaRecord> => {
    if (row === null || row === before.row) return [];
    const { name: saga, version } = definition;
    const status = row.instance?.status ?? (row.isClosed ? "compensated" : "running");
    return [{ saga, version, id: key, status, revision: before.revision + 1, state: encode(row) }];
  };
  return {
    load: Effect.fnUntraced(function* (keys: ReadonlyArray<string>) {
      const sagas = yield* SagaStore;
      const found = yield* sagas.load(definition.name, keys);
      const rows = new Map<string, Kept<D>>();
      for (const [id, { version, revision, state }] of found) {
        if (version !== definition.version) return yield* Effect.die(Batch.leftAlone(definition.name, `instance "${id}"`, version));
        rows.set(id, { row: decode(state), revision });
      }
      return rows;
    }),
    save: Effect.fnUntraced(function* (changes: ReadonlyArray<Changed<D>>) {
      const sagas = yield* SagaStore;
      yield* sagas.save(changes.flatMap(recordOf));
    }),
  };
};

/** The defect that leaves a message of another version alone, for a process that knows it. */
export const expectKnown = <D, C>({ definition: { name }, protocol }: Projection<D, C>, { type, saga }: Message.Envelope): void => {
  if (saga !== null && saga !== protocol.saga && saga.startsWith(`${name}@`))
    throw Batch.leftAlone(name, type, Number(saga.slice(name.length + 1)));
};
