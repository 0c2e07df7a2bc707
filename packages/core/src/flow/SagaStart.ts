/**
 * Before a process runs a saga: are the definitions that it has those under whose versions instances were begun?
 *
 * The first process that runs a version keeps its shape. Another shape under the same version is refused, with what differs and
 * how many instances are live: give the new one a new version, and keep or migrate the old one (`SagaVersions`). A process of
 * another version is no reason to refuse: instances that are not known here are left alone, and said.
 *
 * It compares names and shapes. What functions of the same name and shape do, it does not know: `SagaReplay` does.
 */
import { Effect, Option, Schema } from "effect";
import type { Definition } from "../domain/saga/Saga.ts";
import * as SagaDifference from "../domain/saga/SagaDifference.ts";
import * as SagaVersions from "../domain/saga/SagaVersions.ts";
import { SagaStore } from "../ports/SagaStore.ts";
import type { StoreError } from "../ports/StoreError.ts";
import { UnitOfWork } from "../ports/UnitOfWork.ts";

/** A definition was changed under its old version. */
export class SagaChanged extends Schema.TaggedError<SagaChanged>()("SagaChanged", {
  saga: Schema.String,
  version: Schema.Int,
  /** One line each. */
  differences: Schema.Array(Schema.String),
  /** Instances of this version that are not over. */
  live: Schema.Int,
}) {
  override get message(): string {
    const { saga, version, differences, live } = this;
    return [
      `${saga}@${version} is not what it was when it first ran here, and ${live} of its instances are live:`,
      ...differences.map((line) => `  ${line}`),
      "Give the changed definition a new version, and list the old one beside it: SagaVersions.keep or SagaVersions.migrate.",
    ].join("\n");
  }
}

/** Refuses a changed definition; otherwise keeps the shapes that are new. */
export const check = Effect.fn("SagaStart.check")(function* <D, C>(
  definition: Definition<D, C>,
  older: ReadonlyArray<SagaVersions.Older<C>> = [],
): Effect.fn.Return<void, SagaChanged | StoreError, UnitOfWork | SagaStore> {
  const unitOfWork = yield* UnitOfWork;
  const sagas = yield* SagaStore;
  const saga = definition.name;
  const known = [...SagaVersions.make(definition, older).known.values()];
  yield* unitOfWork.commit(sagas.keepShapes(known.map(({ version, fingerprint, shape }) => ({ saga, version, fingerprint, shape }))));
  const kept = yield* sagas.shapes(saga);
  const live = yield* sagas.countLive(saga);
  for (const { version, fingerprint, shape } of known) {
    const before = kept.get(version);
    if (before === undefined || before.fingerprint === fingerprint) continue;
    const was = Option.getOrNull(decodeShape(before.shape));
    const differences = was === null ? [] : SagaDifference.of(was, shape);
    // A shape that is not read any more was kept by another release of this library.
    const told = differences.length > 0 ? differences : [`its fingerprint is ${fingerprint}, not ${before.fingerprint}`];
    return yield* new SagaChanged({ saga, version, differences: told, live: live.get(version) ?? 0 });
  }
  for (const [version, count] of live) {
    if (known.some((each) => each.version === version)) continue;
    yield* Effect.logWarning(`${saga}@${version} is not known here: its ${count} live instances are left alone`);
  }
});

const Shape = Schema.Struct({
  saga: Schema.String,
  data: Schema.Unknown,
  steps: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      kind: Schema.String,
      after: Schema.Array(Schema.String),
      isConditional: Schema.Boolean,
      otherwise: Schema.String,
      messages: Schema.Record(Schema.String, Schema.Array(Schema.String)),
    }),
  ),
});
const decodeShape = Schema.decodeUnknownOption(Shape);
