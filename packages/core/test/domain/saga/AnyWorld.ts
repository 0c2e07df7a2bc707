/**
 * Participants, a network and a timer around a saga that was drawn. It checks the decider's invariants at each step and
 * keeps what was done in the world, by key.
 */
import { Result, Schema } from "effect";
import { expect } from "vitest";
import { Message, SagaDecider, SagaInstance } from "@org/saga-core";
import { Data, type Definition, type Fate, type Slot, slots } from "./AnySaga.ts";

const catalogue = Message.catalogue(
  slots.flatMap(({ Do, Did, Refused, Undo, Undone, UndoRefused, Probe, Unseen, Rang }) => [
    ...[Do, Did, Undo, Undone, UndoRefused, Probe, Unseen, Rang],
    Refused,
  ]),
);
const codec = Schema.toCodecJson(SagaInstance.schemaOf(Data));
const encode = Schema.encodeSync(codec);
const decode = Schema.decodeUnknownSync(codec);

type Effects = "done" | "refused" | "undone";

export class AnyWorld {
  readonly network: Array<Message.Envelope> = [];
  /** What became of each key at its participant. */
  readonly effects = new Map<string, Effects>();
  /** Undos that were refused so far, by step. */
  private readonly refusedUndos = new Map<string, number>();
  private readonly refusals = new Map<string, number>();
  private timer: { readonly token: string; readonly at: number } | null = null;
  private state: SagaDecider.Instance<Data> | null = null;
  private now = 1_000;
  private ids = 0;
  readonly definition: Definition;
  private readonly fates: ReadonlyArray<Fate>;

  constructor(definition: Definition, fates: ReadonlyArray<Fate>) {
    this.definition = definition;
    this.fates = fates;
    this.input({ _tag: "Start", id: "i", data: { id: "i", done: 0 }, now: this.now });
  }

  get instance(): SagaDecider.Instance<Data> {
    if (this.state === null) throw new Error("no instance");
    return this.state;
  }

  input(input: SagaDecider.Input<Data>): void {
    const before = this.state;
    const [next, sends] = SagaDecider.transition(this.definition, before, input);
    if (next === null) throw new Error("it is gone");
    if (next === before) expect(sends).toEqual([]);
    this.state = next;
    for (const send of sends) {
      if (send._tag === "Schedule") this.timer = send;
      if (send._tag === "Unschedule") this.timer = null;
      if (send._tag === "Message") {
        this.checkSend(next, send.draft, before);
        this.send(send.draft);
      }
    }
    this.checkTimer(next);
  }

  /** Invariants 1, 3 and 4. */
  private checkSend(next: SagaDecider.Instance<Data>, draft: Message.Draft, before: SagaDecider.Instance<Data> | null): void {
    const slot = slotOf(draft.type);
    const step = this.definition.steps.find(({ name }) => name === slot.name);
    if (step === undefined) throw new Error(`nobody sends ${draft.type}`);
    expect(draft).toMatchObject({ stepKey: SagaDecider.stepKey(next, step.name), saga: "any@1" });
    if (draft.type === slot.Do.type && (before?.steps[step.name]?.status ?? "pending") === "pending") {
      for (const name of step.after) expect(["done", "skipped", "failed"]).toContain(next.steps[name]?.status);
    }
    if (draft.type !== slot.Undo.type) return;
    if (step.kind === "pivot") expect(this.effects.get(draft.stepKey ?? "")).not.toBe("refused");
    if (step.kind === "pivot") expect(before?.steps[step.name]?.status).not.toBe("sent");
    for (const later of this.definition.steps) {
      if (!this.comesAfter(later.name, step.name)) continue;
      expect(["undefined", "pending", "skipped", "failed", "undone"]).toContain(String(next.steps[later.name]?.status));
    }
  }

  private comesAfter(later: string, earlier: string): boolean {
    const after = this.definition.steps.find(({ name }) => name === later)?.after ?? [];
    return after.some((name) => name === earlier || this.comesAfter(name, earlier));
  }

  /** Invariant 6. */
  private checkTimer(next: SagaDecider.Instance<Data>): void {
    expect(this.timer?.at ?? null).toBe(next.wakeAt);
    if (SagaDecider.isAtRest(next)) return expect(next.wakeAt).toBeNull();
    for (const { dueAt } of Object.values(next.steps)) if (dueAt !== undefined) expect(next.wakeAt).toBeLessThanOrEqual(dueAt);
  }

  /** It is stored and read as it is. */
  checkStored(): void {
    expect(decode(JSON.parse(JSON.stringify(encode(this.instance))))).toEqual(this.instance);
  }

  send(draft: Message.Draft): void {
    this.ids += 1;
    const nobody = { causationId: null, traceparent: null, tracestate: null };
    const read = Message.decode(
      catalogue,
      Message.stamp(draft, { id: `m-${this.ids}`, occurredAt: this.now, correlationId: "i", ...nobody }),
    );
    if (Result.isFailure(read)) throw new Error(read.failure.detail);
    this.network.push(read.success);
  }

  deliver(index: number, copy = false): void {
    const [envelope] = copy ? this.network.slice(index, index + 1) : this.network.splice(index, 1);
    if (envelope === undefined) return;
    this.now += 1;
    if (!this.definition.awaits.some(({ type }) => type === envelope.type)) return this.participate(envelope);
    this.input({ _tag: "Reply", envelope, now: this.now });
    // Invariant 5: what was answered is not awaited any more. A signal and a probe's "unseen" may be wanted again.
    const slot = slotOf(envelope.type);
    if (envelope.type === slot.Rang.type || envelope.type === slot.Unseen.type) return;
    expect(SagaDecider.transition(this.definition, this.instance, { _tag: "Reply", envelope, now: this.now })).toEqual([this.instance, []]);
  }

  lose(index: number): void {
    this.network.splice(index, 1);
  }

  ring(index: number): void {
    const name = this.definition.steps[index % this.definition.steps.length]?.name;
    const slot = slots.find((each) => each.name === name);
    if (slot !== undefined) this.send(slot.Rang.draft({ id: "i" }));
  }

  /** In its time, or because a person moved it. */
  fire(moved = false): void {
    if (this.timer === null) return;
    const { token, at } = this.timer;
    this.timer = null;
    this.now = moved ? this.now + 1 : Math.max(this.now + 1, at);
    this.input({ _tag: "Timer", name: SagaDecider.WAKE_TIMER, token, now: this.now });
  }

  /** A firing whose token is of another time. */
  stale(draw: number): void {
    const token = String(draw % (this.instance.wakes + 2));
    if (this.timer?.token === token) return;
    const before = this.instance;
    this.input({ _tag: "Timer", name: SagaDecider.WAKE_TIMER, token, now: this.now });
    expect(this.instance).toBe(before);
  }

  cancel(): void {
    const wasRunning = this.instance.status === "running";
    const before = this.instance;
    this.now += 1;
    this.input({ _tag: "Cancel", by: "user", now: this.now });
    if (!wasRunning) expect(this.instance).toBe(before);
  }

  resume(): void {
    this.now += 1;
    this.input({ _tag: "Resume", by: "ada", note: "mended", now: this.now });
  }

  /** Without faults until nothing moves any more. */
  settle(): void {
    for (let turn = 0; turn < 10_000; turn += 1) {
      if (this.network.length > 0) this.deliver(0);
      else if (SagaDecider.isAtRest(this.instance)) return;
      else this.fire();
    }
    throw new Error(`it does not come to rest: ${JSON.stringify(this.instance)}`);
  }

  private participate(envelope: Message.Envelope): void {
    const slot = slotOf(envelope.type);
    const key = envelope.stepKey ?? "";
    const fate = this.fates[slots.indexOf(slot)];
    const step = this.definition.steps.find(({ name }) => name === slot.name);
    if (fate === undefined || step?._tag !== "Remote") throw new Error(`${slot.name} is no participant`);
    const answer = <B>(type: Message.MessageType<B>, body: NoInfer<B>) =>
      this.send(type.draft(body, { stepKey: key, saga: envelope.saga ?? undefined }));
    const known = this.effects.get(key);
    const canFail = step.failures.length > 0;
    if (envelope.type === slot.Undo.type) {
      const refused = this.refusedUndos.get(slot.name) ?? 0;
      if (refused < fate.undoRefusals && known !== "undone") {
        this.refusedUndos.set(slot.name, refused + 1);
        return answer(slot.UndoRefused, { id: "i" });
      }
      this.effects.set(key, "undone");
      return answer(slot.Undone, { id: "i" });
    }
    if (known === undefined && envelope.type === slot.Probe.type) return answer(slot.Unseen, { id: "i" });
    if (known === undefined) this.decide(slot, key, fate, canFail);
    // A tombstone refuses, in so far as it can: nobody hears it.
    if (this.effects.get(key) === "done") return answer(slot.Did, { id: "i" });
    if (canFail) answer(slot.Refused, { id: "i", isTransient: fate.isTransient });
  }

  private decide(slot: Slot, key: string, { refusals }: Fate, canFail: boolean): void {
    const refused = this.refusals.get(slot.name) ?? 0;
    const refuses = canFail && refused < refusals;
    if (refuses) this.refusals.set(slot.name, refused + 1);
    this.effects.set(key, refuses ? "refused" : "done");
  }
}

const slotOf = (type: string): Slot => {
  const slot = slots.find(({ name }) => type.startsWith(`${name}.`));
  if (slot === undefined) throw new Error(`nobody knows ${type}`);
  return slot;
};
