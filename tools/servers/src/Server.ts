/** What every started server can do, and how: over one process and its folder. */
import type { ServerProcess } from "./ServerProcess.ts";
import type { WorkFolder } from "./WorkFolder.ts";

export interface Server {
  readonly port: number;
  /** Changes with a restart. */
  readonly pid: number;
  /** Where its output goes, until it is stopped. */
  readonly logFile: string;
  /** Sends a signal to all of its processes; SIGKILL (the default) resolves when they are gone. Data and port are kept. */
  readonly kill: (signal?: NodeJS.Signals) => Promise<void>;
  /** Ends it in order if it runs, and starts it on the same port with the same data. */
  readonly restart: () => Promise<void>;
  /** Ends it and removes its temporary files. A data folder that the caller named stays. May be called again. */
  readonly stop: () => Promise<void>;
}

export interface Parts {
  readonly server: ServerProcess;
  readonly folder: WorkFolder;
  readonly port: number;
  /** Data of the caller are kept in order; temporary ones need no orderly end. */
  readonly keepsData: boolean;
  /** Called instead of a plain start. */
  readonly startAgain?: () => Promise<void>;
}

/** Defined with accessors: spread would freeze the pid. */
export function serverOf<Extra extends object>(parts: Parts, extra: Extra): Server & Extra {
  const { server, folder, keepsData } = parts;
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    await server.end(keepsData ? "in order" : "quickly");
    await folder.remove();
  };
  const base: Server = {
    port: parts.port,
    get pid() {
      return server.pid;
    },
    logFile: server.logFile,
    kill: (signal) => server.kill(signal),
    restart: async () => {
      if (stopped !== undefined) throw new Error(`${server.spec.name} was stopped: start a new one`);
      await server.end("in order");
      await (parts.startAgain ?? (() => server.start()))();
    },
    stop: () => (stopped ??= stop()),
  };
  return Object.assign(base, extra);
}

/** Starts the server; if that fails, nothing is left of it. */
export async function startOrRemove(parts: Pick<Parts, "server" | "folder">): Promise<void> {
  try {
    await parts.server.start();
  } catch (error) {
    await parts.folder.remove();
    throw error;
  }
}
