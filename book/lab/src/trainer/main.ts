/** The trainer's worker as text, in a script of its own: a page loads it when somebody presses play, see lab/trainer.ts. */
import source from "worker:../lab/worker.ts";

(globalThis as { ganLabWorker?: string }).ganLabWorker = source;
