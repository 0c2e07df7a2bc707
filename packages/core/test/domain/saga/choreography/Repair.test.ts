/** An undo that was refused for good, where nobody coordinates (G8): everyone rests, and a person at home leads out of it. */
import { describe, expect, it } from "vitest";
import { CheckoutMessages as M, type Message } from "@org/saga-core";
import { orderId } from "../../Fixtures.ts";
import { lucky } from "../CheckoutParticipants.ts";
import { choreography, ChoreographedWorld } from "./ChoreographedWorld.ts";

/** Its provider returns no money until it is mended. */
class Refusing extends ChoreographedWorld {
  isMended = false;
  refusals = 0;

  protected override participate(envelope: Message.Envelope): void {
    if (!M.RefundPayment.is(envelope) || this.isMended) return super.participate(envelope);
    this.refusals += 1;
    this.send(M.RefundRefused.draft({ orderId }, { stepKey: envelope.stepKey ?? undefined, saga: envelope.saga ?? undefined }));
  }

  /** Until nobody says anything any more; no timer fires. What is `lost` to someone never comes. */
  quiet(copies = false, lost?: { readonly to: string; readonly type: string }): this {
    while (this.network.length > 0) {
      const [next] = this.network;
      if (lost !== undefined && next?.to === lost.to && next.envelope.type === lost.type) {
        this.lose(0);
        continue;
      }
      if (copies) this.deliver(0, true);
      this.deliver(0);
    }
    return this;
  }

  /** Everyone looks after the instance once. */
  watch(): this {
    for (const _ of this.rows) this.fire(0);
    return this.quiet();
  }
}

const protocol = choreography.home.protocol;

const stuck = (copies = false): Refusing => new Refusing({ ...lucky, fulfill: false }).quiet(copies);

const where = (world: ChoreographedWorld) => [...world.rows.values()].map(({ instance, refused }) => [instance?.status, refused]);

const audits = (world: ChoreographedWorld, service: string) => world.row(service).instance?.audit ?? [];

const said = { by: "ada", note: "ticket 4711", now: 9_000 };

describe("a refund that is refused for good, without a coordinator", () => {
  it.each([false, true])("brings everyone to rest, who know of it; messages that come twice: %s", (copies) => {
    const world = stuck(copies);
    expect(where(world)).toEqual([...world.rows].map(() => ["compensationFailed", ["capture-payment"]]));
    expect([world.status, world.money, world.rows.size]).toEqual(["failed", "captured", 4]);
    // The goods were not given back before the money: their undo waits for it.
    expect(world.stock).toBe("committed");
  });

  it("is asked for again when a person at home says so, and rests again if it is refused again", () => {
    const world = stuck();
    const before = world.refusals;
    world.repair({ _tag: "Resume", ...said });
    world.quiet();
    expect([world.refusals, world.row("order").instance?.status]).toEqual([before + 1, "compensationFailed"]);
    world.isMended = true;
    world.repair({ _tag: "Resume", ...said });
    world.quiet();
    expect(world.end).toEqual(["refunded", "fulfillmentFailed", "released", "refunded", true]);
    expect(world.refunds).toBe(1);
    const entry = { at: 9_000, action: "resume", step: null, by: "ada", note: "ticket 4711" };
    expect(audits(world, "order")).toEqual([entry, entry]);
    expect(audits(world, "payment").map(({ by }) => by)).toEqual(["ada", "ada"]);
  });

  it("counts as done when a person at home says that it was done by hand, and nobody is asked for it", () => {
    const world = stuck();
    const before = world.refusals;
    world.repair({ _tag: "Resolve", step: "capture-payment", ...said });
    world.quiet();
    expect([world.status, world.stock, world.refusals, world.refunds]).toEqual(["refunded", "released", before, 0]);
    expect([...world.rows.values()].every(({ isClosed }) => isClosed)).toBe(true);
    expect(audits(world, "order")).toMatchObject([{ action: "resolve", step: "capture-payment", by: "ada" }]);
    expect(audits(world, "payment")).toMatchObject([{ action: "resolve", step: "capture-payment", by: "ada" }]);
  });

  it("is not changed by a person's word about another step, nor by one that comes before", () => {
    const world = stuck();
    world.repair({ _tag: "Resolve", step: "reserve-stock", ...said });
    world.quiet();
    expect([world.row("order").instance?.status, world.stock, world.money]).toEqual(["compensationFailed", "committed", "captured"]);
    const running = new Refusing(lucky);
    const before = running.row("order");
    running.repair({ _tag: "Resume", ...said });
    expect(running.row("order")).toBe(before);
  });

  it("is told again, so that the home knows of it though it was lost to it", () => {
    const world = new Refusing({ ...lucky, fulfill: false }).quiet(false, { to: "order", type: protocol.UndoRefused.type });
    expect([world.row("order").instance?.status, world.row("order").refused]).toEqual(["compensating", []]);
    expect(world.row("payment").instance?.status).toBe("compensationFailed");
    world.watch();
    expect(where(world)).toEqual([...world.rows].map(() => ["compensationFailed", ["capture-payment"]]));
    world.isMended = true;
    world.repair({ _tag: "Resume", ...said });
    world.quiet();
    expect(world.end).toEqual(["refunded", "fulfillmentFailed", "released", "refunded", true]);
  });

  it("takes no second word while it is asked for again, and one when it was refused again", () => {
    const world = stuck();
    world.repair({ _tag: "Resume", ...said });
    const asked = world.row("order");
    const underWay = world.network.length;
    expect([asked.instance?.status, asked.refused]).toEqual(["compensating", []]);
    for (const word of ["Resolve", "Resume"] as const) world.repair({ _tag: word, step: "capture-payment", ...said });
    expect([world.row("order"), world.network.length]).toEqual([asked, underWay]);
    world.quiet();
    world.repair({ _tag: "Resolve", step: "capture-payment", ...said });
    world.quiet();
    expect([world.status, world.stock, world.refunds]).toEqual(["refunded", "released", 0]);
    for (const service of ["order", "payment"]) expect(audits(world, service).map(({ action }) => action)).toEqual(["resume", "resolve"]);
  });

  it("waits for a person again when their word was lost to the owner", () => {
    const world = stuck();
    world.repair({ _tag: "Resume", ...said });
    world.quiet(false, { to: "payment", type: protocol.Repair.type });
    expect(world.row("order").refused).toEqual([]);
    world.watch();
    expect([world.row("order").instance?.status, world.row("order").refused]).toEqual(["compensationFailed", ["capture-payment"]]);
  });
});
