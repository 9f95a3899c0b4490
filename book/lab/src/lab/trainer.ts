/** The worker, as the page sees it. Its script is loaded when the first training starts. */
import type { Command, Report } from "../engine/protocol.ts";

const here = document.currentScript as HTMLScriptElement | null;
const store = globalThis as { ganLabWorker?: string };
let loading: Promise<string> | null = null;

/** The worker's text, from the script beside this one: a page from disk may load scripts, but no worker's file. */
function workerText(): Promise<string> {
  return (loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("trainer.js", here?.src ?? document.baseURI).href;
    script.onload = () =>
      store.ganLabWorker ? resolve(store.ganLabWorker) : script.onerror?.("empty");
    script.onerror = () => {
      loading = null; // another try is possible
      reject(
        new Error(
          "The laboratory's trainer could not be loaded: check the network, and press Play again.",
        ),
      );
    };
    document.head.append(script);
  }));
}

export class Trainer {
  private worker: Worker | null = null;
  private waiting: Command[] = [];
  private ended = false;

  constructor(
    private readonly hear: (report: Report) => void,
    private readonly fail: (message: string) => void,
  ) {
    workerText().then(
      (text) => this.begin(text),
      (error: Error) => fail(error.message),
    );
  }

  private begin(text: string): void {
    if (this.ended) return;
    const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    this.worker = new Worker(address);
    this.worker.onmessage = ({ data }: MessageEvent<Report>) => {
      URL.revokeObjectURL(address);
      this.hear(data);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.fail(
        `The trainer stopped: ${event.message || "this browser could not run it"}. Reload the page.`,
      );
    };
    for (const command of this.waiting.splice(0)) this.worker.postMessage(command);
  }

  send(command: Command): void {
    if (this.worker) this.worker.postMessage(command);
    else this.waiting.push(command);
  }

  end(): void {
    this.ended = true;
    this.worker?.terminate();
  }
}
