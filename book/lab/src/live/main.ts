/** Finds the places for models in the page, and starts one where a reader asks for it. */

import { element } from "./dom.ts";
import "./live.css";
import { AXES, Live } from "./live.ts";
import { build } from "./networks.ts";
import { parse } from "./safetensors.ts";
import { asked, decode } from "./state.ts";

declare global {
  interface Window {
    /** The bytes of models in base64, by name, as their scripts leave them here. */
    ganModels?: Record<string, string>;
  }
}

/** The bytes of a model: from a script, since a page that is opened from disk may load scripts and nothing else. */
function load(name: string, address: string): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const failed = () => reject(new Error("The model could not be loaded. Are you online?"));
    const script = element("script", {
      src: address,
      onerror: failed,
      onload: () => {
        const text = window.ganModels?.[name];
        delete window.ganModels?.[name];
        script.remove();
        if (text === undefined) failed();
        else resolve(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
      },
    });
    document.head.append(script);
  });
}

function place(root: HTMLElement): void {
  const name = root.dataset.model!;
  const start = root.querySelector<HTMLElement>(".live-start")!;
  const button = start.querySelector("button")!;
  const message = element("p", { role: "alert", class: "live-message" });
  const own = element("input", { type: "file", accept: ".safetensors" });
  let live: Live | null = null;
  let began = false;

  function show(bytes: Uint8Array, own: string | null, judge?: Uint8Array): void {
    const model = build(parse(bytes), judge && parse(judge));
    const wanted = asked(location.hash) === name ? location.hash.slice(1) : root.dataset.start!;
    const state = decode(own ? "" : wanted, model.generator.classes, AXES);
    const made = new Live(model, own ? null : name, state);
    (live?.root ?? start).replaceWith(made.root);
    root.querySelector(".live-poster")?.remove();
    if (!live) root.append(file);
    live = made;
  }

  async function guarded(work: () => Promise<void>): Promise<void> {
    message.remove();
    try {
      await work();
    } catch (error) {
      message.textContent = (error as Error).message;
      root.append(message);
    }
  }

  async function begin(): Promise<void> {
    if (began) return;
    began = true;
    button.setAttribute("aria-disabled", "true");
    const focused = document.activeElement === button;
    await guarded(async () => {
      const { script, critic } = root.dataset;
      const judge = critic ? load(`${name}-critic`, critic) : undefined;
      show(await load(name, script!), null, await judge);
      if (focused)
        root.querySelector<HTMLElement>(".live-running button")?.focus({ preventScroll: true });
    });
    began = live !== null;
    button.removeAttribute("aria-disabled");
  }

  own.onchange = () =>
    guarded(async () => {
      const [chosen] = own.files ?? [];
      if (chosen) show(new Uint8Array(await chosen.arrayBuffer()), chosen.name);
    });
  const file = element(
    "details",
    { class: "live-own" },
    element("summary", {}, "A model of your own"),
    element(
      "p",
      {},
      "Open a file that ",
      element("code", {}, "python -m gan_tutorial train"),
      " wrote. It stays on your machine. A file of a whole training also holds the critic: its score is shown.",
    ),
    element("label", {}, "File ", own),
  );

  /** Show what an address asks for. */
  async function follow(): Promise<void> {
    if (asked(location.hash) !== name) return;
    if (live) live.set(decode(location.hash.slice(1), Number(root.dataset.classes), AXES));
    else await begin();
    root.scrollIntoView({ block: "start" });
  }

  start.querySelector("p")!.remove();
  button.hidden = false;
  button.onclick = begin;
  window.addEventListener("hashchange", follow);
  void follow();
}

document.querySelectorAll<HTMLElement>(".live[data-model]").forEach(place);
