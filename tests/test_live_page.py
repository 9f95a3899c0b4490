"""Live models in a browser: what is asked for is drawn, a link and three lines of Python draw it again."""

import base64
import json
import os
import re
import subprocess
import sys

import pytest
import torch
from playwright.sync_api import expect
from torch.testing import assert_close

import gan_tutorial as gt
from gan_tutorial import checkpoint, metrics, recipes, training
from tools import ROOT, browser, node, sphinx_live

CONFIG = """
extensions = ["myst_nb", "tools.sphinx_live"]
nb_execution_mode = "off"
html_theme = "sphinx_book_theme"
"""
INDEX = """# Models

```{live} conditional
```

```{toctree}
pages/stack
pages/dcgan
pages/vae
```
"""
STACK = {
    "cell_type": "markdown",
    "id": "a",
    "metadata": {},
    "source": "# Stack\n\n<!-- live: stacked seed=3 -->\n\nEnd.",
}
NOTEBOOK = {"cells": [STACK], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
PATIENCE = 60_000  # milliseconds: a machine may be busy
expect.set_options(timeout=PATIENCE)
LEVEL = 1 / 127.5  # of 256, in images from -1 to 1
PIXELS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [...data].filter((_, i) => i % 4 === 0);
}"""


def make(folder, **pages):
    """Build a small book of these pages, with every warning an error."""
    (folder / "conf.py").write_text(CONFIG, encoding="utf-8")
    for name, text in pages.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(folder), str(folder / "_build")]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    made = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return folder / "_build", made.stdout


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    dcgan = "# DCGAN\n\n```{live} dcgan\n```\n"
    folder = tmp_path_factory.mktemp("book")
    vae = "# VAE\n\n```{live} vae\n```\n"
    more = {"pages__dcgan_md": dcgan, "pages__vae_md": vae}
    out, said = make(folder, index_md=INDEX, pages__stack_ipynb=json.dumps(NOTEBOOK), **more)
    assert said == ""
    node.bundle(out / "_static" / "lab")
    return out


@pytest.fixture(scope="module")
def addresses(pages):
    with browser.served(pages) as address:
        yield {"disk": pages.as_uri(), "http": address}


@pytest.fixture
def start(open_page, addresses):
    """start(page, where="disk", **context): a page of the small book, its model at work."""

    def started(name, where="disk", **context):
        page = open_page(f"{addresses[where]}/{name}", **context)
        page.set_default_timeout(PATIENCE)
        if "#live=" not in name:
            page.get_by_role("button", name="Run this").click()
        page.wait_for_selector(".live-running")
        return page

    return started


def shown(page, which=-1):
    """The image of a level, as the page shows it: (h, w), from -1 to 1."""
    canvas = page.locator(".live-screen").nth(which)
    side = int(canvas.get_attribute("height"))
    return torch.tensor(canvas.evaluate(PIXELS)).view(side, side) * LEVEL - 1


def by_python(page):
    """The image that the page's own lines of Python draw."""
    page.get_by_text("The same in Python").click()
    code = page.locator(".live-python pre").text_content()
    names: dict = {}
    exec(code.replace("gt.plots.grid(", "image = ("), names)
    return names["image"][0, 0]


# ------------------------------------------------------------------------------------------------- in a browser


@pytest.mark.parametrize("where", ["disk", "http"])
def test_the_class_that_is_asked_for_is_drawn(start, where):
    page = start("index.html", where)
    classes = page.get_by_role("radiogroup", name="The class to ask for").get_by_role("radio")
    images, labels = [], []
    for _ in range(3):
        page.get_by_role("button", name="New z").click()
        for label in range(10):
            classes.nth(label).click()
            images.append(shown(page))
            labels.append(label)
    read = metrics.classifier("mnist")(torch.stack(images)[:, None]).argmax(1)
    assert (read == torch.tensor(labels)).float().mean() > 0.9  # its label accuracy is 99 %, chance 10 %
    assert_close(images[-1], by_python(page), rtol=0, atol=0.51 * LEVEL + 1e-3)
    assert page.record.requests == []
    assert [message for message in page.record.messages if "raised" in message or "lab/live" in message] == []


def test_weights_are_fetched_when_asked_for(open_page, addresses):
    page = open_page(f"{addresses['http']}/pages/dcgan.html")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    kilobytes = int(re.search(r"\((\d+) kB\)", page.get_by_role("button", name="Run").text_content())[1])
    assert asked == []
    with page.expect_response("**/dcgan.js") as model, page.expect_response("**/dcgan-critic.js") as critic:
        page.get_by_role("button", name="Run").click()
    sizes = [len(response.value.body()) for response in (model, critic)]
    assert kilobytes == round(sum(sizes) / 1000)
    page.wait_for_selector(".live-running")
    assert len(asked) == 2


def test_a_link_and_python_draw_the_same_again(start):
    page = start("pages/stack.html")
    page.get_by_role("spinbutton", name="seed").fill("21")
    page.get_by_role("button", name="Another end").click()
    page.get_by_role("button", name="New noise").click()
    page.get_by_role("slider", name="Place on the walk").fill("0.3")
    assert_close(shown(page), by_python(page), rtol=0, atol=0.51 * LEVEL + 1e-3)
    page.get_by_role("slider", name="Direction 2").fill("-2.4")
    axes = [one.inner_text().split() for one in page.locator(".live-axis").all()]
    assert [number for number, _ in axes] == list("123456") and axes[1][1] == "−2.4"
    link = page.get_by_role("link", name="Link to what is shown")
    again = start(f"pages/stack.html{link.get_attribute('href')}")
    assert again.locator(".live-words").text_content() == page.locator(".live-words").text_content()
    for level in range(3):
        assert_close(shown(again, level), shown(page, level), rtol=0, atol=0)
    link.click()  # the address bar changes, and nothing else
    assert page.url == again.url
    assert_close(shown(again), shown(page), rtol=0, atol=0)


def test_a_vae_is_run_by_its_decoder(start):
    page = start("pages/vae.html")
    before = shown(page)
    page.get_by_role("button", name="New z").click()
    drawn = shown(page)
    assert (drawn - before).abs().max() > 0.5
    assert_close(drawn, by_python(page), rtol=0, atol=0.51 * LEVEL + 1e-3)
    page.get_by_role("slider", name="Direction 1").fill("2.5")
    assert (shown(page) - drawn).abs().max() > 0.5
    assert page.locator(".live-screen").get_attribute("aria-label").startswith("Drawn by the decoder. Seed 1, moved")
    assert "turn grey" in page.locator(".live-hint").text_content()


def test_an_address_that_makes_no_sense_is_the_start(start):
    page = start("index.html#live=conditional&seed=-1&label=10&t=7&to=x&held=9:1_0:99_a&detail=1e9")
    assert page.locator(".live-words").text_content() == "Seed 0, asked for 0."


def test_new_noise_leaves_the_coarsest_level(start):
    page = start("pages/stack.html")
    assert page.locator(".live-words").text_content() == "Seed 3."
    before = [shown(page, level) for level in range(3)]
    page.get_by_role("button", name="New noise").click()
    same = [torch.equal(shown(page, level), before[level]) for level in range(3)]
    assert same == [True, False, False]


def test_by_keyboard(start, open_page, addresses):
    page = open_page(f"{addresses['disk']}/index.html")
    page.get_by_role("button", name="Run this generator").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".live-running")
    words = page.locator(".live-words")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "radio"
    page.keyboard.press("ArrowRight")
    expect(words).to_have_text("Seed 0, asked for 1.")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(words).to_have_text("Seed 0, asked for 9.")
    page.keyboard.press("Tab")  # one stop for all ten
    page.keyboard.press("Enter")
    expect(words).to_have_text("Seed 1, asked for 9.")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(words).to_have_text("Seed 1, moved along 1 of the directions, asked for 9.")
    page.get_by_role("slider", name="Place on the walk").press("End")
    expect(words).to_contain_text("100 % of the way to seed 2")
    label = page.locator(".live-screen").get_attribute("aria-label")
    assert label == f"Drawn by the generator. {words.text_content()}"
    page.get_by_role("radio", name="Seed 17", exact=True).click()
    expect(words).to_have_text("Seed 17, asked for 9.")


PLACES = """async () => {
  const slider = document.querySelector(".live-walk input");
  const places = new Set();
  while (slider.value < 0.5) {
    places.add(slider.value);
    await new Promise(requestAnimationFrame);
  }
  return [...places].map(Number);
}"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_a_walk_that_plays(start, motion):
    page = start("pages/dcgan.html", reduced_motion=motion)
    page.get_by_role("button", name="Play").click()
    places = page.evaluate(PLACES)
    page.get_by_role("button", name="Pause").click()
    eighths = [0, 0.13, 0.25, 0.38]  # stills, for who asked for less motion
    assert (places == eighths) == (motion == "reduce"), places
    place = page.get_by_role("slider", name="Place on the walk").input_value()
    page.wait_for_timeout(1200)  # it has stopped, also the next still
    assert page.get_by_role("slider", name="Place on the walk").input_value() == place


def test_a_file_of_one_s_own(start, tmp_path):
    trainer = training.Trainer(recipes.CONDITIONAL.configure(latent_dim=20), gt.data.synthetic_digits(200))
    trainer.run(steps=2)
    path = tmp_path / "own.safetensors"
    checkpoint.save(trainer, path)
    page = start("pages/dcgan.html")
    before = shown(page)
    page.get_by_text("A model of your own").click()
    page.locator("input[type=file]").set_input_files({"name": "b", "mimeType": "", "buffer": b"no model" * 9})
    expect(page.get_by_role("alert")).to_contain_text("no model of the package")
    assert torch.equal(shown(page), before)
    page.locator("input[type=file]").set_input_files(path)
    words = page.locator(".live-words")
    expect(words).to_contain_text("asked for 0")
    page.get_by_role("radio", name="4", exact=True).click()
    model = checkpoint.load(path)
    z = torch.randn(1, 20, generator=torch.Generator().manual_seed(0))
    image = gt.sample(model.generator, z, torch.tensor([4]))
    assert_close(shown(page), image[0, 0], rtol=0, atol=0.51 * LEVEL + 1e-3)
    critic = trainer.networks["critic"].eval()
    score = float(re.search(r"score (-?[\d.]+)", words.text_content())[1])
    assert abs(score - critic(image, torch.tensor([4])).item()) < 0.0051


def test_the_critic_s_best_and_worst(start):
    page = start("pages/dcgan.html")
    page.get_by_role("button", name="The critic's best and worst").click()
    samples = page.get_by_role("radiogroup", name="Samples").get_by_role("radio")
    shares = []
    for k in (0, 9, 10, 19):
        samples.nth(k).click()
        shares.append(int(re.search(r"above (\d+) %", page.locator(".live-words").text_content())[1]))
    assert shares == [100, 95, 5, 0]  # of 200: 199, 190, 9 and none are below
    page.get_by_role("button", name="Twenty more").click()
    assert samples.nth(0).text_content() == "Seed 20"


def test_without_javascript_there_are_samples_and_a_sentence(open_page, addresses):
    page = open_page(f"{addresses['disk']}/index.html", java_script_enabled=False)
    expect(page.locator(".live-poster")).to_be_visible()
    expect(page.get_by_text("Where JavaScript is on, this generator runs here.")).to_be_visible()
    expect(page.locator(".live-start button")).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["index", "pages/stack"])
def test_everyone_can_use_it(start, theme, width, name):
    page = start(f"{name}.html", width=width, color_scheme=theme)
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    for summary in page.locator(".live summary").all():
        summary.click()
    page.get_by_role("slider", name="Direction 1").fill("1")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.add_script_tag(path=node.install() / "axe-core" / "axe.min.js")
    found = page.evaluate("axe.run('.live', { resultTypes: ['violations'] })")
    assert [(one["id"], [each["html"] for each in one["nodes"]]) for one in found["violations"]] == []


# ----------------------------------------------------------------------------------------------------- the build


@pytest.mark.parametrize("name", ["conditional", "dcgan", "stacked"])
def test_the_script_holds_the_gallery_s_own_file(pages, name):
    text = (pages / "_static" / "models" / f"{name}.js").read_text(encoding="ascii")
    match = re.fullmatch(r"\(window\.ganModels \?\?= \{\}\)\[\"(.+)\"\] = \"(.+)\";\n", text)
    assert match and match[1] == name
    assert base64.b64decode(match[2], validate=True) == checkpoint.find(name).read_bytes()


def test_no_page_loads_what_it_does_not_show(pages):
    assert not list(pages.glob("_static/models/wgan*"))
    assert "lab/live" not in (pages / "genindex.html").read_text(encoding="utf-8")
    assert "lab/live.js" in (pages / "pages" / "stack.html").read_text(encoding="utf-8")


def test_a_model_that_is_not_there_stops_the_build(tmp_path):
    _, said = make(tmp_path, index_md="# A\n\n```{live} biggan\n```\n")
    assert "There is no model 'biggan' in the gallery, only conditional, dcgan" in said


def test_the_gallery_is_the_package_s():
    assert sphinx_live.gallery() == sorted(recipes.RECIPES) and set(sphinx_live.gallery()) < set(checkpoint.shipped())
    assert ROOT / "gan_tutorial" in sphinx_live.MODELS.parents
