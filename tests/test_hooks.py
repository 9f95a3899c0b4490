import io
from contextlib import redirect_stdout

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import gan_tutorial as gt


def game(seed=0):
    torch.manual_seed(seed)
    G, C = gt.MLPGenerator(2, shape=(2,), width=8, depth=1), gt.MLPCritic((2,), width=8, depth=1)
    feed = gt.Feed(gt.data.ring(200), latent_dim=2, batch=16, seed=seed)
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
        (torch.zeros(5), r"\(n, 2\)"),
        (torch.zeros(5, 3), r"\(n, 2\)"),
        (torch.zeros(5, 4, 2, 2), "shape"),
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
