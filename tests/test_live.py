"""The models in the pages: they draw what PyTorch draws, from files alone, and refuse what they cannot draw."""

import json

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import gan_tutorial as gt
from gan_tutorial import checkpoint, networks, recipes, training
from tools import node, train_critics

LIVE = node.LAB / "src" / "live"
EXACT = {"rtol": 0.0, "atol": 1e-3}

SCRIPT = f"""
import {{ readFileSync }} from "node:fs";
import {{ parse }} from "{(LIVE / "safetensors.ts").as_uri()}";
import {{ build }} from "{(LIVE / "networks.ts").as_uri()}";
import {{ normal }} from "{(LIVE / "random.ts").as_uri()}";
import * as latent from "{(LIVE / "latent.ts").as_uri()}";

const [file, judge, asked] = JSON.parse(readFileSync(0, "utf8"));
const model = file && (() => {{
  try {{
    return build(parse(readFileSync(file)), judge ? parse(readFileSync(judge)) : undefined);
  }} catch (error) {{
    return error.message;
  }}
}})();
const answer = {{
  model: () => (typeof model === "string" ? model : {{ ...model.generator, critics: model.critics.length }}),
  draw: ([z, label]) => model.generator.levels(Float32Array.from(z), label).map((image) => [...image.values]),
  score: ([z, label]) => {{
    const images = model.generator.levels(Float32Array.from(z), label);
    return model.critics.map((critic, k) => critic(images[k], label, images[k - 1] ?? null));
  }},
  normal: ([seed, n]) => [...normal(seed, n)],
  directions: ([n]) => latent.directions(model.generator, n).map((one) => [...one]),
  walk: ([a, b, t]) => [...latent.walk(Float32Array.from(a), Float32Array.from(b), t)],
}};
console.log(JSON.stringify(asked.map(([what, ...more]) => answer[what](more))));
"""


def ask(file, *asked, judge=None):
    """What the pages' code says of a file, one answer for each question [name, …]; `judge` is a critic's file."""
    given = json.dumps([file and str(file), judge and str(judge), asked])
    return json.loads(node.run("--input-type=module", "-e", SCRIPT, input=given).stdout)


def drawn(file, z, labels):
    """The images (n, …) of each level, for each z and label."""
    answers = ask(file, *(["draw", row, label] for row, label in zip(z.tolist(), labels, strict=True)))
    return [torch.tensor(level) for level in zip(*answers, strict=True)]


# ------------------------------------------------------------------------------------------------------------ pixels


def drawing(model):
    """The network that draws."""
    return model.networks["decoder"] if model.recipe.name == "vae" else model.generator


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_the_gallery_has_the_same_pixels_as_in_pytorch(name):
    model = gt.pretrained(name)
    n = 3 * max(1, model.spec.classes)
    z = torch.randn(n, model.spec.latent_dim, generator=torch.Generator().manual_seed(1))
    z[0] *= 3  # farther out than any sample
    condition = model.conditions(n)
    made = drawn(checkpoint.find(name), z, [0] * n if condition is None else condition.tolist())
    expected = gt.sample(drawing(model), z, condition).flatten(1)
    assert expected.std() > 0.3
    assert_close(made[-1], expected, **EXACT)


def test_a_stack_shows_the_images_of_all_its_levels():
    model = gt.pretrained("stacked")
    z = torch.randn(4, 64, generator=torch.Generator().manual_seed(2))
    image, expected = None, []
    for level, part in zip(model.generator.levels, model.generator.parts(z), strict=True):
        image = gt.sample(level, part, image)
        expected.append(image.flatten(1))
    for made, wanted in zip(drawn(checkpoint.find("stacked"), z, [0] * 4), expected, strict=True):
        assert_close(made, wanted, **EXACT)


def settled(net):
    """Networks whose BatchNorm statistics, gains and biases are not those of a fresh one, in evaluation mode."""
    random = torch.Generator().manual_seed(3)
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2.0, generator=random)
        elif value.is_floating_point() and not name.endswith(("_u", "_v")):
            value.add_(0.2 * torch.randn(value.shape, generator=random))
    return net.eval().requires_grad_(False)


def written(path, shape, classes, latent, **nets):
    """A file that holds these networks, as a training would write them; its card says where z and labels enter."""
    card = dict(gt.pretrained("dcgan").card)
    card |= {"shape": list(shape), "classes": classes, "settings": {"latent_dim": latent}}
    card.pop("sha256")
    places = {"generator": "model", "critic": "net"}
    tensors = {f"{places[k]}.{k}.{name}": value for k, net in nets.items() for name, value in net.state_dict().items()}
    path.write_bytes(checkpoint.serialized(tensors, card))
    return path


def norms(channels):
    return nn.BatchNorm2d(channels)


G, C = networks.ConvGenerator, networks.ConvCritic
GENERATORS = {
    "pixel shuffle, three doublings": ((3, 40, 64), 0, lambda: G(20, (40, 64), 3, 4, 3, up=networks.pixel_shuffle_up)),
    "nearest, cropped, no norm": ((1, 30, 29), 0, lambda: G(16, (30, 29), 1, 4, norm=None, up=networks.nearest_up)),
    "one-hot": ((1, 28, 28), 7, lambda: G(16, width=4, condition=networks.OneHot(7))),
    "fully connected, one-hot": (
        (3, 9, 8),
        5,
        lambda: networks.MLPGenerator(3, (3, 9, 8), 16, 3, condition=networks.OneHot(5)),
    ),
    "a stack whose first level is convolutional": (
        (3, 28, 56),
        0,
        lambda: networks.Cascade(
            G(16, (14, 28), 3, 4), networks.LaplacianLevel(8, (28, 56), 3, 4, norm=None, up=networks.nearest_up)
        ),
    ),
}


@pytest.mark.parametrize("shape, classes, net", GENERATORS.values(), ids=GENERATORS)
def test_generators_of_every_kind(shape, classes, net, tmp_path):
    torch.manual_seed(0)
    net = settled(net())
    file = written(tmp_path / "a.safetensors", shape, classes, net.latent_dim, generator=net)
    n = max(3, classes)
    z = torch.randn(n, net.latent_dim)
    labels = torch.arange(n) if classes else None
    expected = net(z, labels).flatten(1)
    assert expected.std() > 0.1
    assert_close(drawn(file, z, range(n))[-1], expected, **EXACT)


CRITICS = {
    "spectral, projection": (7, lambda: C(width=4, hidden=9, spectral=True, condition=networks.Projection(7))),
    "deep, norm, one-hot": (7, lambda: C(width=4, depth=3, norm=norms, condition=networks.OneHot(7))),
    "embedding": (7, lambda: C(width=4, condition=networks.Embedding(7, 3))),
    "fully connected": (7, lambda: networks.MLPCritic((1, 28, 28), 12, 2, condition=networks.OneHot(7))),
    "fully connected, no label": (0, lambda: networks.MLPCritic((1, 28, 28), 12, 1)),
}


@pytest.mark.parametrize("classes, critic", CRITICS.values(), ids=CRITICS)
def test_critics_of_every_kind(classes, critic, tmp_path):
    torch.manual_seed(0)
    condition = networks.Embedding(classes, 3) if classes else None
    net, critic = settled(G(16, width=4, condition=condition)), settled(critic())
    file = written(tmp_path / "a.safetensors", (1, 28, 28), classes, 16, generator=net, critic=critic)
    z, labels = torch.randn(7, 16), torch.arange(7) if classes else None
    expected = critic(net(z, labels), labels)
    assert expected.std() > 1e-2
    made = ask(file, *(["score", row, label] for label, row in enumerate(z.tolist())))
    assert_close(torch.tensor(made).flatten(), expected, **EXACT)


def test_a_training_of_a_stack_has_a_critic_for_each_level(tmp_path):
    recipe = recipes.STACKED
    spec = training.Spec((1, 28, 28), 0, 64)
    torch.manual_seed(0)
    nets = {name: settled(net) for name, net in recipe.build(spec).items()}
    file = written(tmp_path / "a.safetensors", (1, 28, 28), 0, 64, **nets)
    z = torch.randn(3, 64)
    image, expected = None, []
    for level, critic, part in zip(nets["generator"].levels, nets["critic"], nets["generator"].parts(z), strict=True):
        coarse, image = image, level(part, image)
        expected.append(critic(image, coarse))
    made = ask(file, *(["score", row, 0] for row in z.tolist()))
    assert_close(torch.tensor(made), torch.stack(expected, 1), **EXACT)


@pytest.mark.parametrize("name", train_critics.CRITICS)
def test_the_critics_of_the_pages(name):
    path = train_critics.FOLDER / f"{name}.safetensors"
    card, tensors = checkpoint.read(path)
    assert card["judges"] == gt.pretrained(name).card["sha256"], "Its model has changed: python -m tools.train_critics"
    critic = train_critics.CRITICS[name]()
    critic.load_state_dict({key.removeprefix("net.critic."): value.float() for key, value in tensors.items()})
    z = torch.randn(20, 64, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = critic.eval()(gt.sample(gt.pretrained(name).generator, z))
    made = ask(checkpoint.find(name), *(["score", row, 0] for row in z.tolist()), judge=path)
    assert_close(torch.tensor(made).flatten(), expected, rtol=1e-4, atol=1e-3)
    # It does tell real digits from samples, though not often: these are good.
    assert 0.55 < card["real above samples"] < 0.9


def test_critics_can_be_trained_anew(tmp_path, capsys):
    def few(name, split="train"):
        return gt.data.synthetic_digits(300, split=split)

    assert train_critics.main(["dcgan", "--steps", "2", "--out", str(tmp_path)], few) == 0
    assert "dcgan: a real digit's score is above a sample's in " in capsys.readouterr().out
    made = ask(checkpoint.find("dcgan"), ["score", [0.0] * 64, 0], judge=tmp_path / "dcgan.safetensors")
    assert len(made[0]) == 1
    with pytest.raises(SystemExit):
        train_critics.main(["mlp"], few)


# --------------------------------------------------------------------------------------------- what cannot be drawn


def test_a_network_that_is_not_known_is_named(tmp_path):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.attend = nn.Linear(16, 16)
            self.rest = G(16, width=4)
            self.layers = self.rest.layers
            del self.rest

    file = tmp_path / "a.safetensors"
    written(file, (1, 28, 28), 0, 16, generator=Other())
    assert "cannot run the model: nothing is known of its attend." in ask(file, ["model"])[0]
    written(file, (1, 28, 28), 0, 16, generator=G(16, width=4, norm=lambda n: nn.GroupNorm(2, n)))
    assert "has no model.generator.layers.2.running_mean" in ask(file, ["model"])[0]
    written(file, (1, 28, 28), 0, 16, generator=G(16, width=4, norm=nn.InstanceNorm2d))
    assert "cannot run the model: it has no model.generator.layers.3" in ask(file, ["model"])[0]
    written(file, (2,), 0, 16, generator=networks.MLPGenerator(16))
    assert "its samples have the shape (2), and it draws images" in ask(file, ["model"])[0]
    written(file, (1, 28, 28), 0, 17, generator=G(16, width=4))
    assert "cannot run the model: it takes 16 numbers, and z has 17" in ask(file, ["model"])[0]
    sees_all = networks.MLPCritic((1, 28, 28), 12, minibatch_std=True)
    written(file, (1, 28, 28), 0, 16, generator=G(16, width=4), critic=sees_all)
    assert "cannot run the model" in ask(file, ["model"])[0]


def header(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(content, change):
    found, rest = header(content)
    change(found)
    words = json.dumps(found).encode()
    return len(words).to_bytes(8, "little") + words + rest


def with_card(content, **changes):
    def change(found):
        card = json.loads(found["__metadata__"]["gan_tutorial"])
        found["__metadata__"]["gan_tutorial"] = json.dumps(card | changes)

    return with_header(content, change)


def moved(name, **changes):
    return lambda found: found[name].update(changes)


BIAS = "model.generator.layers.7.bias"
MALFORMED = {
    "nothing": (lambda c: b"", "it has 0 bytes"),
    "another file": (lambda c: b"\x89PNG" * 90, "does not begin as safetensors do"),
    "cut off": (lambda c: c[:-2], "no place in it"),
    "longer": (lambda c: c + b"12", "do not fill it"),
    "no JSON": (lambda c: c[:8] + b"}" + c[9:], "its header"),
    "no card": (lambda c: with_header(c, lambda h: h.pop("__metadata__")), "another program wrote it"),
    "a card without shape": (lambda c: with_card(c, shape=[]), "its card lacks"),
    "a card of another kind": (lambda c: with_card(c, settings=None), "its card lacks"),
    "a newer format": (lambda c: with_card(c, format=3), "format 3; expected 2"),
    "another shape": (lambda c: with_card(c, shape=[1, 32, 32]), "cannot run the model"),
    "a tensor too large": (lambda c: with_header(c, moved(BIAS, shape=[9])), "7.bias has no place"),
    "a negative side": (lambda c: with_header(c, moved(BIAS, shape=[-1])), "7.bias has no place"),
    "a tensor elsewhere": (lambda c: with_header(c, moved(BIAS, data_offsets=[0, 2])), "no place in it"),
    "an unknown type": (lambda c: with_header(c, moved(BIAS, dtype="F8_E4M3")), "has the type F8_E4M3"),
    "a tensor that is none": (lambda c: with_header(c, lambda h: h.update({BIAS: None})), "no place in it"),
    "a weight missing": (lambda c: with_header(c, lambda h: h.update({"model.other": h.pop(BIAS)})), "it has no "),
    "not finite": (lambda c: c[:-2] + b"\x00\x7c", "is not finite"),
}


@pytest.mark.parametrize("change, words", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_refused_with_a_sentence(change, words, tmp_path):
    file = tmp_path / "a.safetensors"
    file.write_bytes(change(checkpoint.find("dcgan").read_bytes()))
    assert words in ask(file, ["model"])[0]


# ------------------------------------------------------------------------------------------------------------ z


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 64, 100])
def test_a_seed_draws_what_pytorch_draws(seed, n):
    expected = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    assert_close(torch.tensor(ask(None, ["normal", seed, n])[0]), expected, rtol=0, atol=1e-5)


def test_the_directions_are_those_that_the_first_layer_stretches_most():
    found = torch.tensor(ask(checkpoint.find("conditional"), ["directions", 6])[0])
    assert_close(found @ found.T, torch.eye(6), rtol=0, atol=1e-4)
    first = gt.pretrained("conditional").generator.layers[0].weight[:, :64]
    assert_close((first @ found.T).norm(dim=0), torch.linalg.svdvals(first)[:6], rtol=1e-2, atol=0)


def test_a_stack_is_led_by_its_first_level():
    found = torch.tensor(ask(checkpoint.find("stacked"), ["directions", 3])[0])
    assert found.shape == (3, 64)
    assert (found[:, 32:] == 0).all()
    assert_close(found.norm(dim=1), torch.ones(3))


def test_a_walk_keeps_the_distribution_of_z():
    a, b = torch.randn(2, 5, generator=torch.Generator().manual_seed(0)).tolist()
    start, middle, end = map(torch.tensor, ask(None, ["walk", a, b, 0], ["walk", a, b, 0.5], ["walk", a, b, 1]))
    assert_close(start, torch.tensor(a))
    assert_close(middle, (torch.tensor(a) + torch.tensor(b)) / 2**0.5)
    assert_close(end, torch.tensor(b))
