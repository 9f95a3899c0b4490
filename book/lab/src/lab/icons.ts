/** The signs on the buttons, drawn and not taken from a font. */
const PATHS = {
  play: "M5 3v14l12-7z",
  pause: "M5 3h4v14H5zM11 3h4v14h-4z",
  step: "M4 3v14l9-7zM14 3h3v14h-3z",
  reset: "M10 3a7 7 0 1 0 6.7 5h-2.2A5 5 0 1 1 10 5v3l5-4-5-4z",
} as const;

export function icon(name: keyof typeof PATHS): SVGElement {
  const space = "http://www.w3.org/2000/svg";
  const sign = document.createElementNS(space, "svg");
  sign.setAttribute("viewBox", "0 0 20 20");
  sign.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  sign.append(path);
  return sign;
}
