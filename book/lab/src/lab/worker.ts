/** The laboratory's worker: a `Session` behind `postMessage`. The page makes it from its bundled text, see bundle.mjs. */
import type { Command } from "../engine/protocol.ts";
import { Session } from "../engine/session.ts";

/** What a worker's scope has of it; TypeScript's own types of the page and of workers exclude each other. */
const scope = self as unknown as {
  postMessage(message: unknown): void;
  onmessage: ((event: MessageEvent<Command>) => void) | null;
};

/** Tasks that come after the messages that wait already; a timer of 0 would wait for 4 ms. */
const channel = new MessageChannel();
const waiting: (() => void)[] = [];
channel.port1.onmessage = () => waiting.shift()?.();

const session = new Session({
  post: (report) => scope.postMessage(report),
  now: () => performance.now(),
  wait: (milliseconds) =>
    new Promise((resolve) => {
      if (milliseconds > 4) setTimeout(resolve, milliseconds);
      else {
        waiting.push(resolve);
        channel.port2.postMessage(null);
      }
    }),
});

scope.onmessage = ({ data }) => void session.handle(data);
