/** A temporary folder of one server: for its log, its configuration and, unless the caller names another place, its data. */
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { protect } from "./Guard.ts";

/** The user a server runs as, where it is not our own. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface WorkFolder {
  readonly path: string;
  readonly remove: () => Promise<void>;
}

export async function makeWorkFolder(name: string, owner?: Owner): Promise<WorkFolder> {
  // A root user's TMPDIR is often closed to others.
  const path = await mkdtemp(join(owner === undefined ? tmpdir() : "/tmp", `saga-${name}-`));
  const release = protect({ folder: path });
  if (owner !== undefined) await chown(path, owner.uid, owner.gid);
  return {
    path,
    remove: async () => {
      await rm(path, { recursive: true, force: true, maxRetries: 10 });
      release();
    },
  };
}
