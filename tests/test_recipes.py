"""Recipes: complete, repeatable, and stopped when asked."""

import copy
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import gan_tutorial as gt
from gan_tutorial.recipes import CONDITIONAL, DCGAN, RECIPES, STACKED

digits = gt.data.synthetic_digits(200, seed=0)


def weights(made):
    return torch.cat([p.flatten() for net in made.networks.values() for p in net.parameters()])


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_seed_and_steps_decide_everything(recipe):
    recipe = recipe.configure(batch_size=64)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = recipe.train(digits, steps=3, seed=4)
    assert torch.equal(before, torch.get_rng_state())  # the caller's random numbers are his own
    torch.manual_seed(2)
    assert torch.equal(weights(one), weights(recipe.train(digits, steps=3, seed=4)))
    assert not torch.equal(weights(one), weights(recipe.train(digits, steps=3, seed=5)))
    assert one.steps == 3 and {len(term) for player in one.log.values() for term in player.values()} == {3}


def test_what_is_sampled_is_the_settled_average():
    made = DCGAN.train(digits, steps=4)
    assert all(not p.requires_grad for p in made.generator.parameters()) and not made.generator.training
    norms = [m for m in made.generator.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and all(m.num_batches_tracked == 79 for m in norms)


def test_samples_do_not_depend_on_the_pieces_they_are_made_in():
    made = CONDITIONAL.train(digits, steps=2)
    label = torch.arange(1500) % 10
    images = made.sample(1500, label)
    assert images.shape == (1500, 1, 28, 28) and images.abs().max() <= 1
    random = torch.Generator().manual_seed(gt.runtime.derive_seed(0, "samples"))
    whole = gt.sample(made.generator, torch.randn(1500, 64, generator=random), label)
    torch.testing.assert_close(images, whole)
    assert torch.equal(images, made.sample(1500, label)) and not torch.equal(images, made.sample(1500, label, seed=1))
    assert not torch.allclose(images, made.sample(1500, (label + 1) % 10), atol=1e-3)


def test_a_labelled_recipe_asks_for_its_labels_and_no_other_takes_any():
    made = CONDITIONAL.train(digits, steps=0)
    assert torch.equal(made.sample(12), made.sample(12, torch.tensor([*range(10), 0, 1])))
    with pytest.raises(ValueError, match="takes no condition"):
        DCGAN.train(digits, steps=0).sample(3, torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="one condition .label or image. for each"):
        CONDITIONAL.train(digits, steps=0).sample(3, torch.zeros(4, dtype=torch.long))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ([0, 1, 2], "tensor of labels .* got a list"),
        (True, "got a bool"),
        (np.int64(10), "label from 0 to 9, got 10"),
        (torch.tensor([0, 1, 10]), "labels from 0 to 9, got some from 0 to 10"),
        (torch.tensor([0, -1, 3]), "labels from 0 to 9, got some from -1 to 3"),
    ],
)
def test_labels_that_are_none_are_refused_before_a_gpu_stumbles_over_them(condition, words):
    with pytest.raises(ValueError, match=words):
        CONDITIONAL.train(digits, steps=0).conditions(3, condition)


def test_a_recipe_that_is_told_no_labels_says_so():
    with pytest.raises(ValueError, match="dcgan is not told labels"):
        DCGAN.train(digits, steps=0).sample(5, 3)


def test_a_stack_takes_the_critics_own_optimiser_and_weights_and_no_augmentation():
    recipe = replace(STACKED, critic_optimizer=gt.adam(1e-2), term_weights={"game": lambda step: 0.5})
    players = gt.Trainer(recipe, digits).players
    assert [p.optimizer.param_groups[0]["initial_lr"] for p in players] == [2.5e-3, 1e-3, 1e-2, 4e-3, 1e-2, 4e-3]
    assert [list(p.term_weights) for p in players] == 3 * [["game"], []]
    for change in ({"augment": gt.augment.DiffAugment()}, {"labelled": True}):
        with pytest.raises(ValueError, match=f"players of stacked make no use of {next(iter(change))}"):
            gt.Trainer(replace(STACKED, **change), digits)


def test_seconds_end_a_training():
    start = time.perf_counter()
    made = DCGAN.train(digits, seconds=0.5)
    assert 0.5 <= made.seconds <= time.perf_counter() - start and made.steps == len(made.log["critic"]["game"]) >= 1
    with pytest.raises(ValueError, match="not for both"):
        DCGAN.train(digits, steps=1, seconds=1)


def test_a_hook_sees_every_step():
    seen = []
    DCGAN.train(digits, steps=3, hooks=[lambda step, log: seen.append((step, log.steps))])
    assert seen == [(0, 1), (1, 2), (2, 3)]


def test_levels_of_a_stack_play_apart_on_real_images_of_their_size():
    """Each level learns what it would learn alone, from a feed that shrinks the images."""

    def shrink(images, times):
        for _ in range(times):
            images = torch.stack([images[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]).mean(0)
        return images

    together = gt.Trainer(STACKED, digits, seed=3)
    alone = copy.deepcopy([player.net for player in together.players])
    together.run(steps=4)
    for k, (size, start) in enumerate([(7, 0), (14, 32), (28, 48)]):
        critic, generator = alone[2 * k : 2 * k + 2]
        objective = gt.nonsaturating if k else replace(gt.nonsaturating, penalty=partial(gt.r1, weight=0.1))
        optimizer = gt.adam(4e-3 if k else 1e-3, (0.0, 0.99))
        players = gt.adversaries(generator, critic, objective, optimizer, lr_schedule=lambda n: 4_000 / (4_000 + n))
        feed = gt.Feed(digits, 64, 64, seed=3)
        for draw in range(24):
            batch = next(feed)
            if draw % 6 // 2 == k:
                z = batch.z[:, start : start + generator.latent_dim]
                label = shrink(batch.real, 3 - k) if k else None
                players[draw % 2].update(batch._replace(real=shrink(batch.real, 2 - k), condition=label, z=z))
        assert gt.sample(generator, z, label).shape[-1] == size
        for mine, theirs in zip((critic, generator), together.players[2 * k : 2 * k + 2], strict=True):
            torch.testing.assert_close(mine.state_dict(), theirs.net.state_dict(), rtol=1e-4, atol=1e-4)
