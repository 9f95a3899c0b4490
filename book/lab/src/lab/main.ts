/** Mounts a laboratory into every <div class="gan-lab" data-lab="…" data-layout="…" data-page="…">. */
import { isSettingHash, SettingError } from "../engine/setting.ts";
import { knobsOf, presetOf } from "./chapters.ts";
import { DiracLab } from "./dirac.ts";
import { h } from "./dom.ts";
import { Lab, type Layout } from "./lab.ts";
import "./lab.css";

declare global {
  interface HTMLElement {
    /** The laboratory in this element. */
    ganLab?: Lab | DiracLab;
  }
}

function mount(host: HTMLElement): void {
  const { lab: setting = "", layout = "embedded", page = "" } = host.dataset;
  if (setting === "dirac") {
    host.ganLab = new DiracLab(host);
    return;
  }
  try {
    const lab = new Lab(host, {
      layout: layout as Layout,
      setting,
      knobs: knobsOf(setting),
      chapter: layout === "full" ? null : (presetOf(setting)?.chapter ?? null),
      page: page || location.href,
    });
    host.ganLab = lab;
    if (layout === "full") followAddress(lab);
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    host.append(h("p", {}, error.message));
  }
}

/** The setting that the address names, now and whenever it changes. */
function followAddress(lab: Lab): void {
  const follow = () => {
    const hash = location.hash.slice(1);
    if (!isSettingHash(hash) && !presetOf(hash)) return; // a section of the page, or nothing
    lab.panel.element.scrollIntoView({ block: "start" });
    try {
      lab.load(hash);
      lab.panel.complain("");
    } catch (error) {
      lab.panel.complain((error as Error).message);
    }
  };
  follow();
  addEventListener("hashchange", follow);
  // A link to the setting that the address names already changes no address, and sets it up once more.
  document.addEventListener("click", ({ target }) => {
    const link = (target as Element).closest<HTMLAnchorElement>('a[href^="#"]');
    if (link && link.hash === location.hash) follow();
  });
}

const mountAll = () =>
  document.querySelectorAll<HTMLElement>(".gan-lab").forEach((host) => mount(host));
if (document.readyState === "loading") addEventListener("DOMContentLoaded", mountAll);
else mountAll();
