"""How fast the gallery's models run in the pages: milliseconds of one core for an image, in Node and in a browser.

    python -m benchmarks.live_models

Node has V8, as Chromium does. In the browser a model plays its walk: each image is drawn, put onto the canvas and
described in words, up to sixty times a second.
"""

from __future__ import annotations

import json
from pathlib import Path

from gan_tutorial import checkpoint
from tools import book, browser, node, sphinx_live

LIVE = node.LAB / "src" / "live"
SCRIPT = f"""
import {{ readFileSync }} from "node:fs";
import {{ parse }} from "{(LIVE / "safetensors.ts").as_uri()}";
import {{ build }} from "{(LIVE / "networks.ts").as_uri()}";
import {{ normal }} from "{(LIVE / "random.ts").as_uri()}";

const found = {{}};
for (const [name, path] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {{
  const {{ generator }} = build(parse(readFileSync(path)));
  const draw = (n) => {{
    const before = process.cpuUsage();
    for (let seed = 0; seed < n; seed++) generator.levels(normal(seed, generator.latent), 0);
    const {{ user, system }} = process.cpuUsage(before);
    return (user + system) / 1000 / n;
  }};
  draw(50); // compiles
  found[name] = draw(400);
}}
console.log(JSON.stringify(found));
"""
FRAMES = """async () => {
  const start = performance.now();
  let frames = 0;
  while (performance.now() - start < 3000) {
    await new Promise(requestAnimationFrame);
    frames++;
  }
  return (1000 * frames) / (performance.now() - start);
}"""


def in_node() -> dict[str, float]:
    """Milliseconds of processor time for an image, by model."""
    models = {name: str(checkpoint.find(name)) for name in sphinx_live.gallery()}
    return json.loads(node.run("--input-type=module", "-e", SCRIPT, input=json.dumps(models)).stdout)


def in_browser(pages: Path) -> dict[str, tuple[float, float]]:
    """Images a second of a walk that plays, and milliseconds of script for each, by page with a model."""
    found = {}
    with browser.started() as chromium:
        for path in sorted(pages.glob("book/*.html")):
            if 'class="live"' not in path.read_text(encoding="utf-8"):
                continue
            with browser.opened(chromium, path.as_uri()) as page:
                page.locator(".live-start button").click()
                page.wait_for_selector(".live-running")
                page.wait_for_timeout(1000)
                page.locator(".live").get_by_role("button", name="Play").click()
                tools = page.context.new_cdp_session(page)
                tools.send("Performance.enable")

                def seconds(tools=tools) -> float:
                    metrics = tools.send("Performance.getMetrics")["metrics"]
                    return next(one["value"] for one in metrics if one["name"] == "ScriptDuration")

                before = seconds()
                rate = page.evaluate(FRAMES)
                found[path.stem] = rate, 1000 * (seconds() - before) / (3 * rate)
    return found


def main() -> None:
    for name, milliseconds in in_node().items():
        print(f"{name:12} {milliseconds:6.2f} ms an image in Node")
    book.ensure()
    for name, (rate, milliseconds) in in_browser(book.HTML).items():
        print(f"{name:16} {rate:5.1f} images a second while it plays, {milliseconds:5.2f} ms of script each")


if __name__ == "__main__":
    main()
