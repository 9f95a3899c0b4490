"""Translation: pairs, cycles, and the recipes' way through a file."""

from dataclasses import replace
from functools import partial

import pytest
import torch

import gan_tutorial as gt
from gan_tutorial import checkpoint
from gan_tutorial import translation as tr
from gan_tutorial.inpainting import INPAINTING
from gan_tutorial.training import Spec, Trainer

random = torch.Generator().manual_seed(0)
GIVEN, WANTED = torch.rand(2, 70, 1, 12, 16, generator=random) * 2 - 1
PAIRS = gt.Data("pairs", tr.side_by_side(GIVEN, WANTED))
TWO = gt.Data("two sets", torch.cat([GIVEN.abs(), -WANTED.abs()]), torch.arange(2).repeat_interleave(70))
PIX2PIX, CYCLEGAN = (recipe.configure(batch_size=8) for recipe in (tr.PIX2PIX, tr.CYCLEGAN))


def net(**options):
    torch.manual_seed(0)
    return tr.Translator(1, (12, 16), width=4, **options).eval()


def test_pairs_stay_pairs():
    feed = tr.pairs(PIX2PIX, PAIRS, seed=4)
    batch = next(feed)
    assert batch.real.shape == batch.condition.shape == (8, 1, 12, 16)
    for given, wanted in zip(batch.condition, batch.real, strict=True):
        place = (GIVEN == given).flatten(1).all(1).nonzero().item()
        assert torch.equal(WANTED[place], wanted)


def test_both_sets_are_drawn_apart_and_batches_are_a_function_of_seed_and_number():
    feeds = [tr.TwoSets(CYCLEGAN, TWO, seed=4) for _ in range(2)]
    first = [next(feeds[0]) for _ in range(3)]
    assert all((batch.a.real >= 0).all() and (batch.b.real <= 0).all() for batch in first)
    feeds[1].batches_drawn = 2
    again = next(feeds[1])
    assert torch.equal(first[2].a.real, again.a.real) and torch.equal(first[2].b.real, again.b.real)
    # Not the same places of both sets: those would be pairs.
    places = [
        [(whole == one).flatten(1).all(1).nonzero().item() for one in part]
        for whole, part in ((GIVEN.abs(), first[0].a.real), (-WANTED.abs(), first[0].b.real))
    ]
    assert places[0] != places[1]


def test_the_loss_of_the_translators_is_the_papers():
    """Game, cycle and identity of networks that can be computed by hand: one doubles, one adds a tenth."""

    class Double(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, x):
            return self.factor * x

    class Add(Double):
        def forward(self, x):
            return x + self.factor / 20

    class Mean(Double):
        def forward(self, x):
            return self.factor * x.flatten(1).mean(1)

    networks = {"a to b": Double(), "b to a": Add(), "critic a": Mean(), "critic b": Mean()}
    a, b = GIVEN[:8], WANTED[:8]
    batch = tr.Two(*(gt.Batch(x, None, torch.zeros(8, 1), torch.zeros(8)) for x in (a, b)))
    critic_b, critic_a, both = tr.cycle_players(
        replace(CYCLEGAN, objective=gt.least_squares), networks, cycle=3.0, identity=0.5
    )
    terms = both.loss(batch)
    cycle = (2 * a + 0.1 - a).abs().mean() + (2 * (b + 0.1) - b).abs().mean()
    assert terms["cycle"].item() == pytest.approx(3 * cycle.item(), rel=1e-5)
    identity = (2 * b - b).abs().mean() + 0.1
    assert terms["identity"].item() == pytest.approx(0.5 * identity.item(), rel=1e-5)
    scores = [2 * x.flatten(1).mean(1) for x in (2 * a, b + 0.1)]
    game = sum(gt.least_squares.generator(score) for score in scores)
    assert terms["game"].item() == pytest.approx(game.item(), rel=1e-5)
    real_b, fake_b = (2 * x.flatten(1).mean(1) for x in (b, 2 * a))
    assert critic_b.loss(batch)["game"].item() == pytest.approx(gt.least_squares.critic(real_b, fake_b).item())
    real_a, fake_a = (2 * x.flatten(1).mean(1) for x in (a, b + 0.1))
    assert critic_a.loss(batch)["game"].item() == pytest.approx(gt.least_squares.critic(real_a, fake_a).item())


def test_without_weights_there_are_no_terms():
    networks = CYCLEGAN.build(CYCLEGAN.spec(TWO))
    *_, both = tr.cycle_players(CYCLEGAN, networks, cycle=0)
    assert set(both.loss(next(tr.TwoSets(CYCLEGAN, TWO, 0)))) == {"game"}


def test_a_network_with_maps_across_sees_near_by_only_and_one_with_a_code_everything():
    """Moving one corner's pixel changes the other corner through the code alone."""
    torch.manual_seed(0)
    x = torch.rand(1, 1, 48, 48, generator=random)
    y = x.clone()
    y[0, 0, 0, 0] = -1
    for options, moves in (({}, False), ({"across": False, "code": 8}, True)):
        torch.manual_seed(0)
        made = tr.Translator(1, (48, 48), width=4, **options).eval()
        changed = (made(x) != made(y))[0, 0]
        assert changed[0, 0] and bool(changed[-4:, -4:].any()) == moves


def test_what_passes_through_a_code_lies_in_as_many_dimensions():
    made = net(across=False, code=2)
    maps = made.middle[1](made.middle[0](made.down(made.fine(made.blocks(GIVEN)))))
    assert maps.shape == (70, 2)


@pytest.mark.filterwarnings("ignore:The recipe")
@pytest.mark.parametrize(("recipe", "data"), [(PIX2PIX, PAIRS), (CYCLEGAN, TWO)], ids=["pix2pix", "cyclegan"])
def test_the_recipes_train_are_saved_go_on_are_loaded_and_translate(recipe, data, tmp_path):
    file = tmp_path / "translated.safetensors"
    whole, first = Trainer(recipe, data, seed=3), Trainer(recipe, data, seed=3)
    whole.run(steps=5)
    first.run(steps=2)
    checkpoint.save(first, file)
    second = checkpoint.resume(file, data, recipe=recipe)
    second.run(steps=5)
    states = [checkpoint.state_of(trainer.networks).values() for trainer in (whole, second)]
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    for player, terms in whole.log.items():
        assert all(torch.equal(values, second.log[player][name]) for name, values in terms.items())

    checkpoint.save(second, file)
    model = checkpoint.load(file, recipe=recipe)
    made = model.sample(5, GIVEN[:5])
    assert made.shape == GIVEN[:5].shape and made.abs().max() <= 1
    assert torch.equal(made, whole.model().sample(5, GIVEN[:5]))
    assert torch.equal(made, model.sample(5, GIVEN[:5], seed=1))  # one answer, whatever z is
    assert not torch.equal(made, model.sample(5, -GIVEN[:5]))
    with pytest.raises(ValueError, match="needs the images"):
        model.sample(5)


def test_a_pixel_error_alone_learns_the_median():
    """Two wanted images for one given, 1 twice as often as -1: the absolute error wants 1."""
    given = torch.zeros(60, 1, 4, 4)
    wanted = torch.where(torch.arange(60) % 3 == 0, -1.0, 1.0)[:, None, None, None].expand(-1, 1, 4, 4)
    small = {
        "generator": partial(tr.PairTranslator, width=2),
        "critic": partial(tr.PairCritic, width=2, hidden=4),
    }
    heavy = replace(PIX2PIX, networks=small, players=partial(tr.pix2pix_players, weight=1e4), batch_size=30)
    model = heavy.train(gt.Data("open", tr.side_by_side(given, wanted)), steps=150)
    assert model.networks["generator"].training is False
    torch.testing.assert_close(model.sample(1, given[:1]), torch.ones(1, 1, 4, 4), atol=0.2, rtol=0)


def test_what_cannot_be_translated_is_refused():
    with pytest.raises(ValueError, match="not multiples of 4"):
        tr.Translator(1, (14, 16))
    with pytest.raises(ValueError, match="one shape"):
        tr.side_by_side(GIVEN, WANTED[:3])
    with pytest.raises(ValueError, match="even width"):
        tr.PairTranslator(Spec((1, 12, 15), 0, 1))
    with pytest.raises(ValueError, match="labels 0 and 1"):
        tr.TwoSets(CYCLEGAN, PAIRS, 0)
    pair = tr.PairTranslator(Spec((1, 12, 16), 0, 1)), tr.PairCritic(Spec((1, 12, 16), 0, 1))
    for part, words in zip(pair, ("Translating needs", "critic needs"), strict=True):
        with pytest.raises(ValueError, match=words):
            part(torch.zeros(2, 1, 12, 8))
    with pytest.raises(ValueError, match="flip would exchange"):
        tr.pairs(PIX2PIX.configure(flip=True), PAIRS, 0)


GOOD = GIVEN[:3]
WRONG = {
    "sides of no use": (torch.zeros(3, 1, 30, 30), r"of shape \(n, 1, 12, 16\)|of sides that are multiples of 4"),
    "three channels": (GOOD.expand(-1, 3, -1, -1), r"of shape \(n, 1, (12, 16|any, any)\) and floating point"),
    "bytes": (((GOOD + 1) * 127.5).byte(), "floating point.*got torch.uint8"),
    "grey levels": ((GOOD + 1) * 127.5, r"in \[-1, 1\] as condition of .*, got values from .*127.5 - 1"),
    "NaN": (torch.where(GOOD == GOOD[0, 0, 0, 0], torch.nan, GOOD), "NaN or infinite"),
    "infinite": (torch.where(GOOD == GOOD[0, 0, 0, 0], torch.inf, GOOD), "NaN or infinite"),
    "an array": (GOOD.numpy(), "a tensor of labels or of images"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(("recipe", "data"), [(PIX2PIX, PAIRS), (CYCLEGAN, TWO)], ids=lambda x: x.name)
def test_images_that_a_model_has_not_learned_from_are_refused(recipe, data, wrong):
    """NaN made NaN in silence, grey levels were taken for images, and other shapes ended in PyTorch's own words."""
    model, (images, words) = Trainer(recipe, data).model(), WRONG[wrong]
    with pytest.raises(ValueError, match=words):
        model.sample(3, images)


@pytest.mark.parametrize(("recipe", "data"), [(PIX2PIX, PAIRS), (CYCLEGAN, TWO)], ids=lambda x: x.name)
def test_images_may_be_in_any_precision_and_off_by_rounding(recipe, data):
    model = Trainer(recipe, data).model()
    made = model.sample(3, GOOD)
    assert torch.equal(model.sample(3, GOOD.double()), made)
    torch.testing.assert_close(model.sample(3, GOOD.half()), made, atol=2e-2, rtol=0)
    assert model.sample(3, (GOOD * 1.0005).clamp(-1.0004, 1.0004)).isfinite().all()


def test_a_whole_pair_is_refused_and_a_larger_image_is_not():
    pix2pix, cyclegan = PIX2PIX.train(PAIRS, steps=1), CYCLEGAN.train(TWO, steps=1)
    whole = PAIRS.take(slice(0, 4))
    with pytest.raises(ValueError, match=f"shape \\(n, 1, {whole.shape[2]}, {whole.shape[3] // 2}\\)"):
        pix2pix.sample(4, whole)
    larger = whole.repeat(1, 1, 2, 2)
    assert cyclegan.sample(4, larger).shape == larger.shape


def test_a_translator_says_what_it_takes():
    free, coded = net(), net(code=2)
    assert free(torch.zeros(2, 1, 8, 20)).shape == (2, 1, 8, 20)  # convolutions alone: any such size
    for part, images, words in (
        (free, torch.zeros(2, 1, 30, 30), r"\(n, 1, height, width\), of sides that are multiples of 4"),
        (free, torch.zeros(2, 3, 12, 16), "got torch.float32 of shape"),
        (free, torch.zeros(1, 12, 16), "got torch.float32 of shape"),
        (free, torch.zeros(2, 1, 12, 16).byte(), "got torch.uint8"),
        (coded, torch.zeros(2, 1, 8, 20), r"\(n, 1, 12, 16\) to translate"),
    ):
        with pytest.raises(ValueError, match=words):
            part(images)


@pytest.mark.parametrize(("recipe", "data"), [(PIX2PIX, PAIRS), (CYCLEGAN, TWO), (INPAINTING, gt.Data("x", GIVEN))])
def test_an_augmentation_is_refused_and_not_left_out_in_silence(recipe, data):
    with pytest.raises(ValueError, match="make no use of augment: leave it out"):
        Trainer(recipe.configure(augment=True), data)


def test_a_batch_that_is_shared_anyway_is_not_asked_to_be():
    with pytest.raises(ValueError, match="cyclegan make no use of share_batch: leave it out"):
        Trainer(replace(CYCLEGAN, share_batch=True), TWO)
    assert [player.share_batch for player in Trainer(CYCLEGAN, TWO).players] == [False, True, True]


@pytest.mark.parametrize(
    "objective",
    [
        gt.wgan_gp,
        gt.relativistic,
        replace(gt.hinge, n_critic=2),
        replace(gt.hinge, constraint=gt.weight_clipping(0.1)),
    ],
)
def test_an_objective_of_more_than_two_losses_is_refused_where_it_is_not_played(objective):
    with pytest.raises(ValueError, match="plays an objective's two losses alone"):
        Trainer(replace(CYCLEGAN, objective=objective), TWO)


def test_a_seed_that_makes_no_two_is_refused_by_its_own_number():
    assert next(tr.TwoSets(CYCLEGAN, TWO, 2**63 - 1)).a.real.shape == (8, 1, 12, 16)
    with pytest.raises(ValueError, match=r"from 0 to 2\*\*63 - 1, got 9223372036854775808"):
        tr.TwoSets(CYCLEGAN, TWO, 2**63)
