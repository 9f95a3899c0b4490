"""The laboratory in a browser, from disk: it trains, fails as the chapters say, tells what moved, and never stalls."""

import json
import re

import pytest

from tools.browser import UNFOLD

LAB = "document.querySelector('.gan-lab').ganLab"
STATE = f"{LAB}.state"
PAGE = "book/laboratory"


@pytest.fixture
def laboratory(open_page, book_on_disk):
    """laboratory(setting, page=…): a page with a laboratory, at a preset or at a setting as in an address."""

    def opened(setting="", page=PAGE, **context):
        return open_page(f"{book_on_disk}/{page}.html" + (f"#{setting}" if setting else ""), **context)

    return opened


def press(page, name, **more):
    page.get_by_role("button", name=name, **more).first.click()


def wait(page, condition, seconds=120):
    page.wait_for_function(f"() => {condition}", timeout=1000 * seconds)


def train(page, steps):
    """Press Play, and pause after so many steps."""
    press(page, "Play", exact=True)
    wait(page, f"{STATE}?.steps >= {steps}")
    press(page, "Pause", exact=True)
    return page.evaluate(f"({{ modes: {STATE}.modes, samples: Array.from({STATE}.samples) }})")


def step(page, times=1):
    """Press One step, or its key, so often; the samples thereafter."""
    before = page.evaluate(f"{STATE}?.steps ?? 0")
    press(page, "One step")
    for _ in range(times - 1):
        page.keyboard.press("s")
    wait(page, f"{STATE}?.steps === {before + times}")
    return samples(page)


def more(page):
    """Unfold the settings that are not always there."""
    page.locator(".lab summary", has_text="More settings").click()


def samples(page):
    return page.evaluate(f"Array.from({STATE}.samples)")


def mean(flat):
    n = len(flat) // 2
    return sum(flat[0::2]) / n, sum(flat[1::2]) / n


# ------------------------------------------------------------------------------------------------------- it trains


def test_nothing_is_loaded_or_trained_until_it_is_asked_for(laboratory):
    page = laboratory()
    page.wait_for_selector(".lab canvas")
    assert page.evaluate(f"{STATE}") is None
    assert page.evaluate("globalThis.ganLabWorker") is None


def test_wgan_gp_finds_the_eight_modes(laboratory):
    page = laboratory("penalised")
    state = train(page, 200)
    assert (state["modes"]["found"], state["modes"]["of"]) == (8, 8)
    assert "8 of 8 modes" in page.inner_text(".lab")
    assert page.record.messages == [] and page.record.requests == []


def test_minimax_against_a_strong_critic_stays_where_it_is(laboratory):
    """Chapter 1: the same critic, from the same start; with the non-saturating loss the samples arrive."""
    reached = {}
    for name in ("saturated", "unsaturated"):
        reached[name], _ = mean(train(laboratory(name), 150)["samples"])
    assert reached["saturated"] < 1 < 2 < reached["unsaturated"], reached


def test_points_that_were_drawn_are_learned(laboratory):
    page = laboratory("gan1&game=wasserstein&penalty=gradient_penalty&nCritic=5&beta1=0&beta2=0.9")
    page.get_by_label("Data", exact=True).select_option("points")
    pad = page.locator(".pad").bounding_box()
    x, y = pad["x"] + 0.75 * pad["width"], pad["y"] + 0.3 * pad["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 0.4 * pad["height"], steps=12)
    page.mouse.up()
    drawn = page.evaluate(f"{LAB}.setting.points")
    assert len(drawn) > 5 and max(x for x, _ in drawn) - min(x for x, _ in drawn) < 0.02
    assert max(y for _, y in drawn) - min(y for _, y in drawn) > 0.8
    made = train(page, 250)["samples"]
    near = [
        min((x - u) ** 2 + (y - v) ** 2 for u, v in drawn) ** 0.5 for x, y in zip(made[0::2], made[1::2], strict=True)
    ]
    assert sorted(near)[len(near) // 2] < 0.15  # the line is 0.8 from the origin, where a generator begins
    spread = sorted(made[1::2])
    assert spread[-100] - spread[100] > 0.5 * (max(v for _, v in drawn) - min(v for _, v in drawn))


def test_points_by_keys_and_cleared(laboratory):
    page = laboratory()
    page.get_by_label("Data", exact=True).select_option("points")
    assert "Draw at least one point" in page.inner_text(".lab .complaint")
    page.focus(".pad")
    for key in ("ArrowRight", "ArrowRight", "Enter", "ArrowUp", "Enter", "ArrowUp", "Enter", "Backspace"):
        page.keyboard.press(key)
    assert page.evaluate(f"{LAB}.setting.points") == [[0.1, 0], [0.1, 0.1]]
    assert not page.is_visible(".lab .complaint")
    press(page, "Clear the points")
    press(page, "Play", exact=True)
    assert "Draw at least one point" in page.inner_text(".lab .complaint")
    assert page.evaluate(f"{LAB}.wanted") is False


# ------------------------------------------------------------------------------------------------------ by the step


def test_one_step_is_one_step(laboratory):
    page = laboratory("penalised")
    step(page)
    assert page.evaluate(f"[{STATE}.steps, {STATE}.updates]") == [1, {"critic": 5, "generator": 1}]
    step(page)
    assert page.evaluate(f"[{STATE}.steps, {STATE}.updates]") == [2, {"critic": 10, "generator": 2}]


def test_one_update_of_a_player_and_what_it_did(laboratory):
    page = laboratory("balanced")
    start = step(page)
    field = page.evaluate(f"Array.from({STATE}.field)")
    press(page, "One update of the critic")
    wait(page, f"{STATE}.change?.player === 'critic'")
    assert samples(page) == start
    assert page.evaluate(f"Array.from({STATE}.field)") != field
    change = page.evaluate(f"{STATE}.change")
    said = page.inner_text(".lab .said")
    number = r"(−?[\d.]+)"
    course = re.search(rf"^The critic moved; on this batch its loss (fell|rose) from {number} to {number}\.", said)
    assert course, said
    before, after = change["before"]["critic"], change["after"]["critic"]
    assert course[1] == ("fell" if after < before else "rose")
    assert [float(course[k]) for k in (2, 3)] == pytest.approx([before, after], rel=6e-3)

    field = page.evaluate(f"Array.from({STATE}.field)")
    press(page, "One update of the generator")
    wait(page, f"{STATE}.change?.player === 'generator'")
    assert page.evaluate(f"Array.from({STATE}.field)") == field
    assert samples(page) != start
    assert re.search(r"^The generator moved its samples by [\d.]+ on average", page.inner_text(".lab .said"))


def test_slow_motion_is_one_update_at_a_time(laboratory):
    page = laboratory("balanced")
    page.get_by_label("Speed").select_option(label="slow motion: by update")
    press(page, "Play", exact=True)
    wait(page, f"{STATE}?.updates.critic === 1 && {STATE}.change")
    assert page.evaluate(f"{STATE}.turn") == {"player": "critic", "done": 1, "of": 2}
    wait(page, f"{STATE}.steps >= 1")
    assert page.inner_text(".lab .said").startswith("The ")


def test_it_plays_to_a_step_and_rests_there(laboratory):
    """By a key, exactly, and to no step that is behind; Play alone goes on."""
    page = laboratory("balanced")
    to_50 = page.get_by_role("button", name="Play to step 50")
    to_50.press("Enter")
    wait(page, f"{STATE}?.steps > 1")
    wait(page, f"{LAB}.wanted === false && {STATE}.running === false")
    assert page.evaluate(f"[{STATE}.steps, {STATE}.updates]") == [50, {"critic": 100, "generator": 50}]
    assert page.evaluate("document.activeElement.textContent") == "50"
    assert to_50.get_attribute("aria-disabled") == "true"
    page.keyboard.press("Enter")
    assert page.inner_text(".lab .said") == "Step 50 is behind. Press Reset, then play to it."
    press(page, "Play", exact=True)
    wait(page, f"{STATE}.steps >= 52")
    press(page, "Reset")
    wait(page, f"{STATE}?.steps === 0")
    assert to_50.get_attribute("aria-disabled") == "false"


def test_it_goes_on_to_the_step_after_it_was_out_of_sight(laboratory):
    page = laboratory("balanced", height=500)
    press(page, "Play to step 200")
    wait(page, f"{STATE}?.steps >= 2")
    page.mouse.wheel(0, 100_000)
    wait(page, f"{STATE}.running === false")
    assert page.evaluate(f"[{LAB}.wanted, {STATE}.steps < 200]") == [True, True]
    page.mouse.wheel(0, -100_000)
    wait(page, f"{LAB}.wanted === false")
    assert page.evaluate(f"{STATE}.steps") == 200


def test_what_is_set_up_waits_at_step_0(laboratory):
    """By a link, by the link of the setting that is there already, and by the menu; whatever was playing."""
    page = laboratory("balanced")

    def waits():
        wait(page, f"{STATE}?.steps === 0 && {LAB}.wanted === false")
        page.wait_for_timeout(500)
        assert page.evaluate(f"[{STATE}.steps, {STATE}.running, {LAB}.wanted]") == [0, False, False]

    ahead = page.get_by_role("link", name="Set it up: the generator ahead.")
    menu = page.get_by_label("Setting", exact=True)
    for set_up in (ahead.click, ahead.click, lambda: menu.select_option("penalised")):
        press(page, "Play", exact=True)
        wait(page, f"{STATE}?.steps >= 2")
        set_up()
        waits()
    assert page.evaluate(f"{LAB}.setting.penalty") == "gradient_penalty"


def test_reset_begins_the_same_run_again(laboratory):
    page = laboratory("balanced")
    first = step(page, 3)
    press(page, "Reset")
    wait(page, f"{STATE}?.steps === 0")
    assert step(page, 3) == first


# ---------------------------------------------------------------------------------------------- what can be set


def test_a_link_reproduces_the_setting(laboratory):
    page = laboratory()
    page.get_by_label("Objective").select_option("hinge")
    page.get_by_label("Seed").fill("3")
    page.get_by_label("Seed").press("Enter")
    more(page)
    page.get_by_label("Units in a layer").press("ArrowLeft")
    first = step(page, 20)
    setting = page.evaluate("location.hash").removeprefix("#")
    assert "seed=3" in setting and "game=hinge" in setting
    again = laboratory(setting)
    assert step(again, 20) == first
    other = laboratory(setting.replace("seed=3", "seed=4"))
    assert step(other, 20) != first


def test_the_link_is_copied(laboratory):
    page = laboratory("collapse", permissions=["clipboard-read", "clipboard-write"])
    press(page, "Copy link to this setting")
    page.wait_for_selector("text=The link is on the clipboard.")
    assert "lrCritic=0.0002" in page.evaluate("navigator.clipboard.readText()")


def test_a_link_that_is_damaged(laboratory):
    page = laboratory("gan1&lrCritic=fast")
    assert "expected a number in this link" in page.inner_text(".lab .complaint")
    page = laboratory("gan1&width=1000")
    assert "from 4 to 256" in page.inner_text(".lab .complaint")


def test_the_code_to_copy(laboratory):
    page = laboratory("collapse", permissions=["clipboard-read", "clipboard-write"])
    page.click("text=The same run in the package")
    code = page.inner_text(".lab .code pre")
    assert "import gan_tutorial as gt" in code and "2e-4" in code.replace("0.0002", "2e-4").replace("2e-04", "2e-4")
    compile(code, "code", "exec")
    press(page, "Copy as Python")
    page.wait_for_selector("text=The code is on the clipboard.")
    assert page.evaluate("navigator.clipboard.readText()").strip() == code.strip()


def test_learning_rates_change_on_the_way_and_all_else_begins_anew(laboratory):
    page = laboratory("balanced")
    step(page, 2)
    more(page)
    page.get_by_label("Critic’s learning rate").press("ArrowRight")
    assert page.evaluate(f"{STATE}.steps") == 2
    assert step(page) and page.evaluate(f"{STATE}.steps") == 3
    page.get_by_label("Critic’s updates a step").press("ArrowRight")
    wait(page, f"{STATE}?.steps === 0")


def test_a_loss_that_is_not_finite(laboratory):
    page = laboratory("gan1&game=wasserstein&optimizerCritic=sgd&lrCritic=1&optimizerGenerator=sgd&lrGenerator=1")
    press(page, "Play", exact=True)
    page.wait_for_selector(".lab .complaint:visible", timeout=60_000)
    assert re.search(r"not a number|infinite", page.inner_text(".lab .complaint"))
    assert page.evaluate(f"{LAB}.wanted") is False
    page.get_by_label("Setting", exact=True).select_option("balanced")
    wait(page, f"{STATE}?.steps === 0")
    assert not page.is_visible(".lab .complaint")
    step(page)


# ------------------------------------------------------------------------------------------------ for every reader


def test_by_keys_alone(laboratory):
    page = laboratory("balanced")
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Play":
            break
    page.keyboard.press("Enter")
    wait(page, f"{STATE}?.steps >= 3")
    page.keyboard.press("p")
    wait(page, f"{LAB}.wanted === false && {STATE}.running === false")
    before = page.evaluate(f"{STATE}.steps")
    page.keyboard.press("s")
    wait(page, f"{STATE}.steps === {before + 1}")
    page.keyboard.press("r")
    wait(page, f"{STATE}?.steps === 0")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("s")  # elsewhere the keys are the page's own
    page.wait_for_timeout(300)
    assert page.evaluate(f"{STATE}.steps") == 0


def test_it_rests_while_nobody_sees_it(laboratory):
    page = laboratory("balanced", height=500)
    press(page, "Play", exact=True)
    wait(page, f"{STATE}?.steps >= 2")
    page.mouse.wheel(0, 100_000)
    wait(page, f"{STATE}.running === false")
    assert page.evaluate(f"{LAB}.wanted") is True
    page.mouse.wheel(0, -100_000)
    wait(page, f"{STATE}.running === true")


def test_the_page_never_stalls(laboratory, chromium):
    """No task of the page needs 100 ms of the processor while it trains: a click is never kept waiting by the page.

    Chromium's own trace tells each task's processor time, which other programs of the machine do not add to.
    """
    page = laboratory("penalised")
    press(page, "Play", exact=True)
    wait(page, f"{STATE}?.steps >= 3")
    before = page.evaluate(f"{STATE}.steps")
    chromium.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline", "__metadata"])
    page.wait_for_timeout(5000)
    events = json.loads(chromium.stop_tracing())["traceEvents"]
    assert page.evaluate(f"{STATE}.steps") > before
    pages = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        event["tdur"] / 1e3
        for event in events
        if event["name"] == "RunTask" and "tdur" in event and (event["pid"], event["tid"]) in pages
    ]
    assert len(tasks) > 10, "no tasks in the trace"
    assert max(tasks) <= 100, f"one of {len(tasks)} tasks took {max(tasks):.0f} ms of the processor"


def test_light_and_dark_while_it_stands(laboratory):
    page = laboratory("balanced")
    step(page)
    ground = """() => {
        const canvas = document.querySelector('.lab canvas.plane');
        return Array.from(canvas.getContext('2d').getImageData(3, 3, 1, 1).data).slice(0, 3).reduce((a, b) => a + b);
    }"""
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(200)
    dark = page.evaluate(ground)
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    page.wait_for_timeout(200)
    assert dark < 250 < 500 < page.evaluate(ground)


def test_words_for_those_who_do_not_see_the_picture(laboratory):
    page = laboratory("balanced")
    step(page)
    words = page.get_attribute(".lab canvas.plane", "aria-label")
    assert words.startswith("Data: 8-ring. Step 1.") and "of 8 modes" in words
    assert "Step 1." in page.inner_text(".lab [aria-live=polite]")


OPEN = "document.querySelectorAll('.lab details').forEach(one => (one.open = true))"
STOPS = """[...document.querySelectorAll(".lab :is(button, select, input, summary, a, [tabindex='0'])")]
    .filter(e => e.checkVisibility()).map(e => {
        const { left, top, height } = e.getBoundingClientRect();
        return [e.closest(".lab > *").className.split(" ")[0], top + height / 2, left];
    })"""


@pytest.mark.parametrize("page, setting", [(PAGE, "balanced"), ("book/01_minimax", ""), ("book/07_wgan_gp", "")])
def test_the_focus_goes_as_the_eye_does(laboratory, page, setting):
    """Wide: the bar, then the picture's column, then the other one, then the knobs. On a phone from top to bottom."""
    wide = laboratory(setting, page=page)
    wide.evaluate(UNFOLD)
    wide.evaluate(OPEN)
    wide = wide.evaluate(STOPS)
    parts = list(dict.fromkeys(part for part, _, _ in wide))
    assert parts == [
        part for part in ("bar", "picture", "legend", "side", "knobs", "sections", "share") if part in parts
    ]
    assert wide[0][1] == min(height for _, height, _ in wide)
    narrow = laboratory(setting, page=page, width=360, height=740)
    narrow.evaluate(UNFOLD)
    narrow.evaluate(OPEN)
    narrow = narrow.evaluate(STOPS)
    assert len(narrow) > 8 and {"bar"} < {part for part, _, _ in narrow}
    for (_, one, left), (_, other, right) in zip(narrow, narrow[1:], strict=False):
        assert other > one + 8 or (abs(other - one) <= 8 and right > left), narrow


def test_the_picture_stays_in_sight_on_a_phone(laboratory):
    """While the knobs below it are turned, and not longer than that."""
    page = laboratory("balanced", width=360, height=740, has_touch=True)
    step(page)
    page.evaluate(OPEN)
    knob = page.get_by_label("Dimensions of z")
    knob.focus()
    page.wait_for_selector(".lab .picture.afloat")
    plane, own = page.locator(".lab canvas.plane").bounding_box(), knob.bounding_box()
    assert 100 < plane["width"] < 200 and plane["y"] >= 40 and plane["y"] + plane["height"] <= own["y"]
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_selector(".lab .picture:not(.afloat)")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function("document.querySelector('.lab canvas.plane').clientWidth > 250")


def test_the_title_page_has_one_button_and_a_still(laboratory):
    """What the still shows was trained: samples on all modes, and a field. Then the training takes its place."""
    page = laboratory(page="book/intro")
    assert [one.inner_text() for one in page.locator(".lab button:visible").all()] == ["Train"]
    still = page.evaluate(f"{LAB}.still")
    assert still["modes"]["found"] == 8 and "step 200" in page.inner_text(".lab .modes")
    pixels = "document.querySelector('.lab canvas').getContext('2d').getImageData(0, 0, 300, 300).data.buffer"
    assert page.evaluate(f"new Set(new Uint32Array({pixels})).size") > 50
    press(page, "Train")
    wait(page, f"{STATE}?.steps >= 1")
    assert page.evaluate(f"{LAB}.still") is None and page.is_visible(".lab button.play")
    assert "step 200" not in page.inner_text(".lab .modes")


def test_what_is_printed_of_it(laboratory):
    """Nothing trained: the picture and the setting, no empty axes. Then what was learned, and no controls."""
    page = laboratory("balanced")
    page.emulate_media(media="print")
    assert page.inner_text(".lab").strip().splitlines()[-1] == "Setting: A balanced game."
    assert not page.locator(".lab :is(button, input, select, canvas.curves):visible").count()
    page.emulate_media(media="screen")
    step(page)
    page.emulate_media(media="print")
    assert page.is_visible(".lab canvas.curves") and not page.locator(".lab :is(button, input, select):visible").count()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone(laboratory, theme):
    page = laboratory("balanced", width=360, height=740, color_scheme=theme, has_touch=True)
    step(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    picture, play = page.locator(".lab .picture").bounding_box(), page.locator(".lab button.play").bounding_box()
    assert picture["y"] + picture["height"] < play["y"] and play["height"] >= 44
    small = page.evaluate(
        """() => [...document.querySelectorAll('.lab :is(button, select, input, summary, label.layer)')]
            .filter(e => e.checkVisibility() && !e.matches('label input') && e.getBoundingClientRect().height < 24)
            .map(e => e.outerHTML)"""
    )
    assert small == []


def test_motion_is_reduced_where_it_is_asked_for(laboratory):
    page = laboratory("penalised", reduced_motion="reduce")
    press(page, "Play", exact=True)
    wait(page, f"{STATE}?.steps >= 1")
    seen = page.evaluate(
        f"""() => new Promise(resolve => {{
            const states = new Set();
            const look = () => {{ states.add({STATE}); requestAnimationFrame(look) }};
            look();
            setTimeout(() => resolve(states.size), 3000);
        }})"""
    )
    assert seen <= 9  # two a second, and one at each end


# ----------------------------------------------------------------------------------------------- in all the pages


def test_every_laboratory_of_the_book_is_there(open_page, built):
    """Each mark leads to a setting, and only pages with a laboratory load its script."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(built.glob("book/*.html"))}
    with_one = [path for path, text in pages.items() if 'class="gan-lab"' in text]
    assert {path.stem for path in with_one} >= {"laboratory", "intro"}
    for path, text in pages.items():
        assert ("_static/lab/lab.js" in text) == (path in with_one), path.name
    for path in with_one:
        page = open_page(path.as_uri())
        hosts = page.evaluate("[...document.querySelectorAll('.gan-lab')].map(e => [e.dataset.lab, Boolean(e.ganLab)])")
        assert hosts and all(there for _, there in hosts), (path.name, hosts)


def test_without_javascript_there_are_words(laboratory):
    page = laboratory(java_script_enabled=False)
    assert "needs JavaScript" in page.inner_text(".gan-lab")


def test_the_dirac_gan(open_page, book_on_disk):
    """Without R1 the distance grows, with it the players arrive; by the sliders of chapter 1."""
    page = open_page(f"{book_on_disk}/book/01_minimax.html")
    lab = "document.querySelector('.gan-lab[data-lab=dirac]').ganLab"
    page.evaluate(UNFOLD)
    page.locator(".lab-dirac").scroll_into_view_if_needed()
    far = f"Math.hypot(...{lab}.path.at(-1))"
    page.locator(".lab-dirac").get_by_role("button", name="Play").click()
    wait(page, f"{lab}.path.length > 100")
    assert page.evaluate(far) > 1
    page.get_by_label("γ, the weight of R1").fill("10")  # of 40 stops: 0.5
    wait(page, f"{lab}.path.length > 150")
    assert page.evaluate(f"{lab}.setting.weight") == 0.5
    assert page.evaluate(far) < 0.2
    page.locator(".lab-dirac").get_by_role("button", name="Reset").click()
    page.locator(".lab-dirac").get_by_role("button", name="One step").click()
    path = json.loads(page.evaluate(f"JSON.stringify({lab}.path)"))
    # θ = 1, φ = 0: the critic moves by 0.1 (-σ(0) · 1), the generator, which sees a level critic, does not.
    assert path[1] == pytest.approx([1.0, -0.05])
