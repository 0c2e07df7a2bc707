/**
 * Before a process runs a saga: are the definitions that it has those under whose versions instances were begun?
 *
 * The first process that runs a version keeps its shape. Another shape under the same version is refused, with what differs and
 * how many instances are live: give the new one a new version, and keep or migrate the old one (`SagaVersions`). A process of
 * another version is no reason to refuse: instances that are not known here are left alone, and said.
 *
 * Live instances that were begun under the other topology, with a coordinator or without one, are refused: this process could
 * not go on with them, and one of their messages halts all that come behind it.
 *
 * It compares names and shapes. What functions of the same name and shape do, it does not know: `SagaReplay` does.
 */
import { Effect, Option, Schema } from "effect";
import type { Projection } from "../domain/saga/choreography/Choreography.ts";
import * as ProjectionShape from "../domain/saga/choreography/ProjectionShape.ts";
import * as Row from "../domain/saga/choreography/Row.ts";
import type { Definition } from "../domain/saga/Saga.ts";
import * as SagaDifference from "../domain/saga/SagaDifference.ts";
import * as SagaShape from "../domain/saga/SagaShape.ts";
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
      "Give the changed definition a new version, and list the old one beside it: SagaVersions.keep or SagaVersions.migrate, `older` in a choreography.",
    ].join("\n");
  }
}

/** How a saga is run: by a coordinator, or by each service's reactions. */
type Topology = "orchestrated" | "choreographed";

/** Instances that were begun the other way are not over. */
export class OtherTopology extends Schema.TaggedError<OtherTopology>()("OtherTopology", {
  saga: Schema.String,
  begun: Schema.Literals(["orchestrated", "choreographed"]),
  /** Instances that were begun so and are not over. */
  live: Schema.Int,
}) {
  override get message(): string {
    const { saga, begun, live } = this;
    return [
      `${saga}: ${live} of its instances were begun ${begun} and are live. They cannot go on here, and what comes behind their messages would wait for ever.`,
      `Start the ${begun} services again, begin nothing new, and switch when these have ended: \`saga sagas versions\` counts them.`,
    ].join("\n");
  }
}

/** Why a process does not start. */
export type Refusal = SagaChanged | OtherTopology | StoreError;

/** Refuses a changed definition, and live instances that no coordinator began; otherwise keeps the shapes that are new. */
export const check = Effect.fn("SagaStart.check")(function* <D, C>(
  definition: Definition<D, C>,
  older: ReadonlyArray<SagaVersions.Older<C>> = [],
): Effect.fn.Return<void, Refusal, UnitOfWork | SagaStore> {
  yield* checkTopology(definition.name, "orchestrated");
  yield* checkShapes(definition.name, definition.name, [...SagaVersions.make(definition, older).known.values()]);
});

/** The same for a service's part of a choreographed saga, by the rows of that service: its steps and the whole they belong to. */
export const checkProjection = Effect.fn("SagaStart.checkProjection")(function* <D, C>(
  projection: Projection<D, C>,
  older: ReadonlyArray<Projection<D, C>> = [],
): Effect.fn.Return<void, Refusal, UnitOfWork | SagaStore> {
  const known = [projection, ...older].map((each) => {
    const shape = ProjectionShape.of(each);
    return { version: each.definition.version, shape, fingerprint: SagaShape.digest(shape) };
  });
  yield* checkTopology(projection.definition.name, "choreographed");
  yield* checkShapes(ProjectionShape.nameOf(projection), projection.definition.name, known);
});

/** Instances that are live and were begun the other way would halt the partitions of their messages. */
const checkTopology = Effect.fnUntraced(function* (saga: string, here: Topology): Effect.fn.Return<void, Refusal, SagaStore> {
  const sagas = yield* SagaStore;
  const begun = here === "orchestrated" ? "choreographed" : "orchestrated";
  const others = (yield* sagas.countLiveBy(saga, Row.MARK)).filter(({ has }) => has === (begun === "choreographed"));
  const live = others.reduce((sum, each) => sum + each.live, 0);
  if (live > 0) return yield* new OtherTopology({ saga, begun, live });
});

/** `saga`: under which the shapes are kept. `name`: under which the instances are. */
const checkShapes = Effect.fnUntraced(function* (
  saga: string,
  name: string,
  known: ReadonlyArray<Pick<SagaVersions.Older<never>, "version" | "shape" | "fingerprint">>,
): Effect.fn.Return<void, Refusal, UnitOfWork | SagaStore> {
  const unitOfWork = yield* UnitOfWork;
  const sagas = yield* SagaStore;
  const live = yield* sagas.countLive(name);
  const compare = Effect.gen(function* () {
    const kept = new Map((yield* sagas.shapes(saga)).flatMap((each) => (each.saga === saga ? [[each.version, each]] : [])));
    for (const { version, fingerprint, shape } of known) {
      const before = kept.get(version);
      if (before === undefined || before.fingerprint === fingerprint) continue;
      const was = Option.getOrNull(decodeShape(before.shape));
      const differences = was === null ? [] : SagaDifference.of(was, shape);
      // A shape that is not read any more was kept by another release of this library.
      const told = differences.length > 0 ? differences : [`its fingerprint is ${fingerprint}, not ${before.fingerprint}`];
      return yield* new SagaChanged({ saga, version, differences: told, live: live.get(version) ?? 0 });
    }
  });
  // Who is refused has not run: nothing of it is kept. And another process may keep its own meanwhile.
  yield* compare;
  yield* unitOfWork.commit(sagas.keepShapes(known.map(({ version, fingerprint, shape }) => ({ saga, version, fingerprint, shape }))));
  yield* compare;
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
