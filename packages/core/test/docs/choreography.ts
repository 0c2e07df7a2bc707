import { Checkout, Saga } from "@org/saga-core";

// One definition, and who does which step. The home is where orders live; its local steps need no owner.
export const checkout = Saga.choreograph(Checkout.make(), {
  home: "order",
  owners: {
    "check-balance": "payment",
    "reserve-stock": "inventory",
    "authorize-payment": "payment",
    "commit-stock": "inventory",
    "capture-payment": "payment",
    fulfill: "fulfillment",
    "ship-stock": "inventory",
  },
});

// What each service is given: its own steps, and what to listen to.
export const inventory = checkout.of("inventory");
