/** Mounts a laboratory into every <div class="gan-lab" data-lab="…" data-layout="…" data-knobs="…" data-page="…">. */
import { isSettingHash, SettingError } from "../engine/setting.ts";
import { PRESETS } from "./chapters.ts";
import { h } from "./dom.ts";
import type { KnobName } from "./knobs.ts";
import { Lab, type Layout } from "./lab.ts";
import "./lab.css";

declare global {
  interface HTMLElement {
    /** The laboratory in this element. */
    ganLab?: Lab;
  }
}

function mount(host: HTMLElement): void {
  const { lab = "", layout = "embedded", knobs = "", page = "" } = host.dataset;
  try {
    host.ganLab = new Lab(host, {
      layout: layout as Layout,
      setting: lab,
      knobs: knobs.split(/[ ,]+/).filter(Boolean) as KnobName[],
      page: page || location.href,
    });
    if (layout === "full") followAddress(host.ganLab);
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    host.append(h("p", {}, error.message));
  }
}

/** The setting that the address names, now and whenever it changes. */
function followAddress(lab: Lab): void {
  const follow = () => {
    const hash = location.hash.slice(1);
    if (!isSettingHash(hash) && !Object.hasOwn(PRESETS, hash)) return; // a section of the page, or nothing
    try {
      lab.load(hash);
      lab.panel.complain("");
    } catch (error) {
      lab.panel.complain((error as Error).message);
    }
  };
  follow();
  addEventListener("hashchange", follow);
}

const mountAll = () =>
  document.querySelectorAll<HTMLElement>(".gan-lab").forEach((host) => mount(host));
if (document.readyState === "loading") addEventListener("DOMContentLoaded", mountAll);
else mountAll();
