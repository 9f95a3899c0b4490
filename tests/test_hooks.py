import csv
import io
import resource
import shutil
import warnings
from contextlib import nullcontext, redirect_stdout

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

import gan_tutorial as gt


def game(seed=0):
    torch.manual_seed(seed)
    G, C = gt.MLPGenerator(2, shape=(2,), width=8, depth=1), gt.MLPCritic((2,), width=8, depth=1)
    feed = gt.Feed(gt.data.ring(200), latent_dim=2, batch_size=16, seed=seed)
    return G, gt.adversaries(G, C, gt.nonsaturating, gt.adam(1e-2)), feed


def test_a_film_begins_before_training_and_ends_with_it():
    G, players, feed = game()
    z = feed.noise(5)
    before = gt.sample(G, z)
    film = gt.hooks.Film(lambda: gt.sample(G, z), every=4)
    gt.fit(players, feed, 12, [film])
    assert film.steps == [0, 4, 8, 12] and len(film) == 4
    assert torch.equal(film.frames[0], before) and torch.equal(film.frames[-1], gt.sample(G, z))
    assert not torch.equal(film.frames[0], film.frames[-1])


def test_a_frame_shows_the_networks_after_as_many_steps_as_it_says():
    G, players, feed = game()
    z = feed.noise(5)
    film = gt.hooks.Film(lambda: gt.sample(G, z), every=3)
    gt.fit(players, feed, 9, [film])
    other, players, feed = game()
    gt.fit(players, feed, 6)
    assert torch.equal(film.frames[film.steps.index(6)], gt.sample(other, z))


def test_a_film_goes_on_over_two_fits():
    G, players, feed = game()
    film = gt.hooks.Film(lambda: gt.sample(G, feed.noise(5)), every=4)
    gt.fit(players, feed, 6, [film])
    gt.fit(players, feed, 3, [film])
    film.shoot()
    film.shoot()  # the same step: not a second time
    assert film.steps == [0, 4, 8, 9]


def test_a_film_changes_nothing_and_takes_no_more_than_its_frames():
    """Not even when its frames draw random numbers: training that draws them as well goes on as without a film."""

    def train(filmed):
        G, players, feed = game()
        C = players[0].net
        C.register_forward_pre_hook(lambda net, args: (args[0] + 0.1 * torch.randn_like(args[0]), *args[1:]))
        calls = []
        film = gt.hooks.Film(lambda: calls.append(0) or torch.randn(5, 2), every=2) if filmed else lambda *_: None
        gt.fit(players, feed, 7, [film])
        return len(calls), [p.clone() for p in [*G.parameters(), *C.parameters()]]

    (calls, filmed), (_, plain) = train(True), train(False)
    assert calls == 4
    assert all(torch.equal(a, b) for a, b in zip(filmed, plain, strict=True))


def test_images_are_kept_as_bytes():
    grey = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    film = gt.hooks.Film(lambda: (grey.float() / 127.5 - 1).requires_grad_())
    assert film.frames[0].dtype == torch.uint8 and torch.equal(film.frames[0], grey)


def test_points_are_copied():
    points = torch.zeros(3, 2)
    film = gt.hooks.Film(lambda: points, every=1)
    points += 1
    film(0, None)
    assert film.frames[0].sum() == 0 and film.frames[1].sum() == 6


def test_a_figure_can_be_filmed():
    def take():
        figure = plt.figure(figsize=(2, 1), dpi=50, layout="none")
        return figure.add_axes((0, 0, 1, 1), facecolor="#204060")

    film = gt.hooks.Film(take)
    assert film.frames[0].shape == (50, 100, 3)
    np.testing.assert_array_equal(film.frames[0][25, 50], [0x20, 0x40, 0x60])
    assert not plt.get_fignums()
    assert repr(gt.plots.film(film, "A colour.")) == "Film, 1 frame, step 0 to step 0: A colour."


@pytest.mark.parametrize(
    "wrong, words",
    [
        (torch.zeros(()), r"points \(n, 2\)"),
        (torch.zeros(5, 0), r"points \(n, 2\)"),
        (torch.zeros(5, 3).long(), "of floats"),
        (torch.zeros(5, 4, 2, 2, 2), "shape"),
        (torch.zeros(5, 5, 2, 2), "1 to 4 channels"),
        (torch.full((1, 1, 2, 2), 3.0), "tanh"),
        (None, "NoneType"),
    ],
)
def test_a_film_refuses_what_is_no_frame(wrong, words):
    with pytest.raises(ValueError, match=words):
        gt.hooks.Film(lambda: wrong)


def test_a_film_refuses_frames_that_differ_and_no_steps_between_them():
    sizes = iter([3, 4])
    film = gt.hooks.Film(lambda: torch.zeros(next(sizes), 2), every=1)
    with pytest.raises(ValueError, match="fixed noise"):
        film(0, None)
    with pytest.raises(ValueError, match="every=0"):
        gt.hooks.Film(lambda: torch.zeros(3, 2), every=0)


def test_lines_print_the_mean_since_the_last_one():
    _, players, feed = game()
    with redirect_stdout(io.StringIO()) as printed:
        log = gt.fit(players, feed, 11, [gt.hooks.Lines(every=5)])
    lines = printed.getvalue().splitlines()
    expected = [
        f"step {end}   critic game {log['critic']['game'][end - 5 : end].mean():.3f}"
        f"   generator game {log['generator']['game'][end - 5 : end].mean():.3f}"
        for end in (5, 10)
    ]
    assert lines == expected
    with pytest.raises(ValueError, match="every=0"):
        gt.hooks.Lines(every=0)


def test_a_film_builds_no_graph():
    seen = []

    def take():
        seen.append(torch.is_grad_enabled())
        return torch.zeros(3, 2)

    gt.hooks.Film(take, every=1)(0, {})
    assert seen == [False, False]


@pytest.mark.parametrize("shape", [(5, 2, 30), (5, 7), (5, 1)])
def test_signals_and_tables_are_copied_as_numbers(shape):
    x = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    film = gt.hooks.Film(lambda: x)
    assert torch.equal(film.frames[0], x.detach().float())


# ------------------------------------------------------------------------------------------- pictures while it trains


def table(folder):
    with open(folder / "losses.csv", newline="") as file:
        return list(csv.reader(file))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_pictures_and_losses_are_written_while_it_trains(tmp_path):
    _, players, feed = game()
    shown = []

    def take():
        shown.append(torch.rand(4, 3, 6, 5) * 2 - 1)
        return shown[-1]

    grids = gt.hooks.SampleGrids(tmp_path / "new" / "run", take, every=4)
    log = gt.fit(players, feed, 10, [grids])
    folder = tmp_path / "new" / "run"
    assert names(folder) == ["losses.csv", "step-0000000.png", "step-0000004.png", "step-0000008.png"]
    for images, step in zip(shown, (0, 4, 8), strict=True):
        assert (np.asarray(Image.open(folder / f"step-{step:07}.png")) == gt.plots.tile(images)).all()
    assert len(table(folder)) == 1 + 8  # up to the last picture
    grids.write()
    header, *rows = table(folder)
    assert header == ["step", "critic game", "generator game"] and [int(row[0]) for row in rows] == list(range(1, 11))
    for column, player in ((1, "critic"), (2, "generator")):
        values = torch.tensor([float(row[column]) for row in rows])
        torch.testing.assert_close(values, log[player]["game"], rtol=1e-5, atol=0)


def test_pictures_come_by_seconds(tmp_path):
    time = [0.0]
    grids = gt.hooks.SampleGrids(tmp_path, lambda: torch.zeros(3, 2), every_seconds=10, clock=lambda: time[0])
    log = gt.Log()
    for step in range(40):
        log.append({"critic": {"game": torch.tensor(float(step))}})
        time[0] += 3
        grids(step, log)
    expected = [0, *range(4, 41, 4)]  # every fourth step is more than ten seconds after the one before
    assert names(tmp_path) == ["losses.csv", *(f"step-{step:07}.png" for step in expected)]


def figure():
    return plt.figure(figsize=(2, 1), dpi=50)


@pytest.mark.parametrize(
    "shown", [torch.zeros(3, 2, 20), torch.rand(30, 6), torch.rand(30, 2), torch.rand(30, 1), figure]
)
def test_what_is_no_image_is_drawn(tmp_path, shown):
    gt.hooks.SampleGrids(tmp_path, shown if callable(shown) else lambda: shown, every=1)
    width, height = Image.open(tmp_path / "step-0000000.png").size
    assert (width, height) == (100, 50) if callable(shown) else min(width, height) > 100
    assert not plt.get_fignums()


def test_a_disk_that_fails_ends_no_training_and_costs_no_row(tmp_path):
    _, players, feed = game()
    folder = tmp_path / "run"
    grids = gt.hooks.SampleGrids(folder, lambda: torch.zeros(3, 2), every=2)

    def fail(step, log):
        if step == 4:
            shutil.move(folder, tmp_path / "kept")
            folder.touch()
        if step == 8:
            folder.unlink()
            shutil.move(tmp_path / "kept", folder)

    with pytest.warns(UserWarning, match="could not be written") as said:
        log = gt.fit(players, feed, 12, [fail, grids])
    assert len(said) == 1 and len(log["critic"]["game"]) == 12
    assert [int(row[0]) for row in table(folder)[1:]] == list(range(1, 13))
    assert names(folder) == ["losses.csv", *(f"step-{step:07}.png" for step in (0, 2, 4, 10, 12))]


def test_a_full_disk_leaves_no_half_of_a_row(tmp_path):
    _, players, feed = game()
    grids = gt.hooks.SampleGrids(tmp_path, lambda: torch.zeros(3, 2), every=100)
    log = gt.fit(players, feed, 3, [grids])
    grids.write()
    whole = (tmp_path / "losses.csv").read_bytes()
    grids.logs = [{name: {term: values.repeat(40) for term, values in terms.items()} for name, terms in log.items()}]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, before[1]))  # there is room for ten bytes more
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            grids.write()
        found = (tmp_path / "losses.csv").read_bytes()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert found == whole and not list(tmp_path.glob("*.part"))
    grids.write()
    assert [int(row[0]) for row in table(tmp_path)[1:]] == list(range(1, 121))


def test_samples_that_cannot_be_drawn_end_no_training_either(tmp_path):
    _, players, feed = game()
    shown = iter([torch.zeros(1, 1, 4, 4)])
    grids = gt.hooks.SampleGrids(tmp_path, lambda: next(shown, torch.full((1, 1, 4, 4), 7.0)), every=2)
    with pytest.warns(UserWarning, match="tanh"):
        gt.fit(players, feed, 4, [grids])
    assert names(tmp_path) == ["losses.csv", "step-0000000.png"] and len(table(tmp_path)) == 5


def test_a_loss_that_is_not_finite_is_not_hidden(tmp_path):
    grids = gt.hooks.SampleGrids(tmp_path, lambda: torch.zeros(3, 2), every=1)
    log = gt.Log()
    log.append({"critic": {"game": torch.tensor(float("nan"))}})
    with pytest.raises(gt.NonFiniteLoss):
        grids(0, log)


def test_what_is_wrong_is_known_before_training(tmp_path):
    def make(folder=tmp_path / "run", shown=((0.0, 0.0),) * 3, **settings):
        gt.hooks.SampleGrids(folder, lambda: torch.as_tensor(shown), **settings)

    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        make(tmp_path / "file", every=1)
    with pytest.raises(ValueError, match="tanh"):
        make(shown=torch.full((1, 1, 2, 2), 3.0), every=1)
    for wrong in ({}, {"every": 0}, {"every_seconds": -1}, {"every_seconds": float("nan")}):
        with pytest.raises(ValueError, match="Expected"):
            make(**wrong)


def test_a_training_that_is_resumed_goes_on_with_its_table(tmp_path):
    """Killed at step 6, saved at step 4: the rows of steps 5 and 6 are made anew. Another training is refused."""

    def train(steps, start):
        _, players, feed = game()
        feed.batches_drawn = 2 * start
        grids = gt.hooks.SampleGrids(tmp_path, lambda: torch.zeros(3, 2), every=2, start=start)
        gt.fit(players, feed, steps, [grids])

    train(6, 0)
    with open(tmp_path / "losses.csv", "a") as file:
        file.write("7,0.")  # half a row
    train(4, 4)
    header, *rows = table(tmp_path)
    assert header[0] == "step" and [int(row[0]) for row in rows] == list(range(1, 9))
    assert all(len(row) == 3 for row in rows)
    with pytest.raises(ValueError, match="already holds another training's losses"):
        train(2, 0)


def test_two_fits_make_one_table(tmp_path):
    """Between the last picture and the second call three steps lie, which once were lost."""
    _, players, feed = game()
    grids = gt.hooks.SampleGrids(tmp_path, lambda: torch.zeros(3, 2), every=4)
    logs = [gt.fit(players, feed, steps, [grids]) for steps in (7, 3)]
    grids.write()
    _, *rows = table(tmp_path)
    assert [int(row[0]) for row in rows] == list(range(1, 11))
    expected = torch.cat([log["critic"]["game"] for log in logs])
    torch.testing.assert_close(torch.tensor([float(row[1]) for row in rows]), expected, rtol=1e-5, atol=0)
    assert names(tmp_path) == ["losses.csv", *(f"step-{step:07}.png" for step in (0, 4, 8, 10))]


def test_rows_are_cut_off_only_from_a_table_of_the_same_columns(tmp_path):
    losses, there = tmp_path / "losses.csv", "step,critic game\r\n1,7\r\n2,8\r\n3,9\r\n"
    losses.write_bytes(there.encode())
    for term in ("other", "game"):
        grids = gt.hooks.SampleGrids(tmp_path, lambda: torch.zeros(3, 2), every=100, start=1)
        assert losses.read_bytes() == there.encode()
        grids(0, {"critic": {term: torch.tensor([0.5])}})
        with pytest.warns(UserWarning, match="other columns") if term == "other" else nullcontext():
            grids.write()
    assert losses.read_text().splitlines() == ["step,critic game", "1,7", "2,0.5"]


def test_a_table_of_another_training_is_not_continued(tmp_path):
    """Other columns, or other losses; and what is missing is said, or taken from the log."""
    log = {"critic": {"game": torch.tensor([0.5, 0.25, 1 / 3, 4.0])}}
    rows = ["step,critic game", "1,0.5", "2,0.25", "3,0.333333", "4,4"]
    losses = tmp_path / "losses.csv"

    def there(*lines):
        losses.write_bytes("".join(f"{line}\r\n" for line in lines).encode())

    def resumed(start=4, **settings):
        return gt.hooks.SampleGrids(tmp_path, lambda: torch.zeros(3, 2), every=2, start=start, **settings)

    for other in (["step,critic game,critic penalty", "1,0.5,2"], [*rows[:2], "2,0.26"]):
        there(*other)
        before = losses.read_bytes()
        with pytest.raises(ValueError, match="another training's losses"):
            resumed(log=log)
        assert losses.read_bytes() == before
    for found in ([], rows[:3], [*rows, "5,7", "6,7"]):
        there(*found)
        resumed(log=log)
        assert losses.read_text().splitlines() == rows

    with pytest.warns(UserWarning, match="4 of the 100 steps before"):
        grids = resumed(start=100)
    grids.logs = [{"generator": log["critic"]}]
    with pytest.warns(UserWarning, match="other columns"):
        grids.write()
    assert losses.read_text().splitlines() == rows


def test_pictures_change_nothing(tmp_path):
    def train(watched):
        G, players, feed = game()
        C = players[0].net
        C.register_forward_pre_hook(lambda net, args: (args[0] + 0.1 * torch.randn_like(args[0]), *args[1:]))
        hooks = [gt.hooks.SampleGrids(tmp_path, lambda: torch.randn(5, 2), every=2)] if watched else []
        gt.fit(players, feed, 5, hooks)
        return [p.clone() for p in [*G.parameters(), *C.parameters()]]

    assert all(torch.equal(a, b) for a, b in zip(train(True), train(False), strict=True))
