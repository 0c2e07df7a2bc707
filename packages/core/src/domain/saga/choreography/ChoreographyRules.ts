/** What cannot be projected, and what to do about it. */
import type { Definition } from "../SagaDefinition.ts";
import { ofDistribution } from "../SagaDeclared.ts";
import { expectWhole, refuse } from "../SagaRules.ts";
import type { Step } from "../SagaStep.ts";

interface Distribution {
  readonly home: string;
  readonly owners: Readonly<Record<string, string>>;
}

/** Throws: a wrong distribution is a programming error, found at start. */
export const check = <D, C>(definition: Definition<D, C>, distribution: Distribution): void => {
  expectWhole(definition);
  const { name, steps } = definition;
  const wrong = ofDistribution(distribution);
  if (wrong !== null) refuse(name, wrong);
  const { home, owners } = distribution;
  for (const owned of Object.keys(owners)) {
    if (!steps.some((step) => step.name === owned)) {
      refuse(name, `no step "${owned}" to be owned by "${owners[owned]}": take it out of the owners, or name it as the definition does`);
    }
  }
  for (const step of steps) {
    const problem = ofOwner(step, home, owners[step.name]) ?? ofReplies(step);
    if (problem !== null) refuse(name, problem);
  }
};

const ofOwner = <D, C>(step: Step<D, C>, home: string, owner: string | undefined): string | null => {
  if (step._tag === "Local") {
    return owner === undefined || owner === home
      ? null
      : `"${step.name}" changes the aggregate, which is at home in "${home}": leave it out of the owners, or make it a Saga.step that "${owner}" answers`;
  }
  return typeof owner !== "string" || owner === "" ? `nobody does "${step.name}": name the service that answers it in the owners` : null;
};

const ofReplies = <D, C>(step: Step<D, C>): string | null => {
  if (step._tag === "Remote" && step.retryOn !== null) {
    return (
      `"${step.name}" waits for "${step.retryOn.signal.type}" after a failure, and what that brings would be known to its owner only: ` +
      "let the participant try again by itself (retry), make it a Saga.signal in front of the step, or orchestrate this saga"
    );
  }
  const command = step.awaits.find(({ kind }) => kind === "command");
  return command === undefined
    ? null
    : `"${step.name}" is answered by the command "${command.type}", which is for one reader: declare it with Message.event, so that every service hears it`;
};
