"""Your own data: what a data set refuses, arrays in any order and range, folders of pictures of any kind, training."""

import errno
import json
import math
import os
import re
import struct
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

import gan_tutorial as gt
from gan_tutorial import images
from tools import ROOT


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_TUTORIAL_CACHE", str(tmp_path / "cache"))


# ------------------------------------------------------------------------------------------- what a data set refuses

BYTES = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[1.0, 2.0]], r"a list, not a tensor: gt.data.array\(values\)"),
        (np.zeros((4, 2)), r"a ndarray, not a tensor: gt.data.array"),
        (torch.tensor(3.0), "at least one sample"),
        (torch.zeros(4, 0), "are empty"),
        (torch.tensor([[1.0], [math.nan], [math.inf]]), "2 of 3 samples .* NaN or infinite, .* index 1"),
        (torch.full((4, 2), -math.inf), "4 of 4 samples"),
        (torch.zeros(4, 2, requires_grad=True), r"values.detach\(\)"),
        (2 * torch.zeros(4, 2, requires_grad=True), r"values.detach\(\)"),  # no leaf
        (torch.zeros(4, 64, 64, 3, dtype=torch.uint8), r"\(n, height, width, channels\).*permute\(0, 3, 1, 2\)"),
        (torch.zeros(4, 64, 64, 1), r"\(n, height, width, channels\).*nhwc"),
        (torch.zeros(4, 64, 64, dtype=torch.uint8), r'one channel for grey, or gt.data.array\(values, layout="nhw"\)'),
        (torch.rand(4, 3, 8, 8) * 255, r"from .* to 25\d.*; use floating point in \[-1, 1\], or uint8"),
        (torch.full((4, 1, 8, 8), 1e30), "1e.30"),
        (torch.full((4, 1, 8, 8), -1.001), r"\[-1, 1\]"),
    ],
)
def test_values_that_a_data_set_refuses(values, words):
    with pytest.raises(ValueError, match=words):
        gt.Data("bad", values)


def test_images_may_reach_both_ends_of_their_range_and_other_values_any():
    assert len(gt.Data("images", torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1))) == 2
    for shape in ((2,), (1, 128), (8, 4, 4)):  # points, a signal, feature maps of eight channels
        assert gt.Data("numbers", torch.full((3, *shape), 1e4)).shape == shape


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ([0, 1, 2, 3], r"a list, not a tensor.*gt.data.array\(values, label=labels\)"),
        (np.zeros(4, int), "a ndarray, not a tensor"),
        (torch.zeros(4), r"float32 of shape \(4,\); use a tensor, int64"),
        (torch.zeros(4, 1, dtype=torch.long), r"shape \(4, 1\); use a tensor, int64 of shape \(4,\)"),
        (torch.zeros(3, dtype=torch.long), "4 samples and 3 labels; give one for each sample"),
        (torch.tensor([0, 1, -1, 2]), "from -1 to 2; count them from 0 on"),
    ],
)
def test_labels_that_a_data_set_refuses(label, words):
    with pytest.raises(ValueError, match=words):
        gt.Data("bad", BYTES, label)


def test_labels_beyond_the_names_of_classes_are_refused():
    with pytest.raises(ValueError, match="from 0 to 2; count them from 0 to 1, the last of its class_names"):
        gt.Data("bad", BYTES, torch.tensor([0, 1, 2, 0]), class_names=("cat", "dog"))


@pytest.mark.parametrize("factors", [{"slant": [1, 2, 3, 4]}, {"slant": torch.zeros(4, 1)}])
def test_factors_and_modes_that_are_no_tensors_are_refused(factors):
    with pytest.raises(ValueError, match="slant"):
        gt.Data("bad", BYTES, None, factors)
    with pytest.raises(ValueError, match="a list, not a tensor; use a tensor"):
        gt.Data("bad", torch.zeros(4, 2), modes=[[0.0, 0.0]])


def test_parts_and_copies_keep_what_belongs_to_the_whole():
    data = gt.data.array(np.arange(12.0).reshape(4, 3), label=list("abca"))
    for other in (data[:2], data[data.label == 0], data.to("cpu"), data.to("meta")):
        assert other.class_names == ("a", "b", "c") and other.scale is data.scale
    torch.testing.assert_close(data[1:].unscale(data[1:].values), torch.arange(3.0, 12).view(3, 3).double())


# --------------------------------------------------------------------------------------------------- arrays: layout


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


@pytest.mark.parametrize(
    "container", [np.asarray, torch.from_numpy, lambda x: x.tolist(), lambda x: list(map(torch.tensor, x))]
)
def test_the_same_numbers_in_any_container(container):
    x = noise(5, 2, 3).astype(np.float64) / 255 - 0.5
    data = gt.data.array(container(x), "ncl", range=(-0.5, 0.5))
    torch.testing.assert_close(data.values, torch.from_numpy(2 * x).float())
    assert data.values.dtype == torch.float32 and data.values.is_contiguous()


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "hwcn", "chwn", "nwch"])
def test_images_in_any_order_of_axes(layout):
    x = noise(5, 3, 8, 12)
    turned = np.einsum(f"nchw->{layout}", x)
    assert torch.equal(gt.data.array(turned, layout).values, torch.from_numpy(x))


def test_views_of_other_arrays():
    x = noise(5, 3, 8, 12)
    frozen = x.copy()
    frozen.flags.writeable = False
    for view, same in (
        (x[:, :, ::-1], x[:, :, ::-1].copy()),
        (frozen, x),
        (np.broadcast_to(x[:1], x.shape), x[[0] * 5]),
    ):
        data = gt.data.array(view)
        assert torch.equal(data.values, torch.from_numpy(same)) and data.values.is_contiguous()
    data = gt.data.array(x)
    x[:] = 0
    assert data.values.any()  # a copy: what happens to the array later does not matter


def test_grey_images_and_signals_get_a_channel():
    x = noise(5, 8, 12)
    assert torch.equal(gt.data.array(x, "nhw").values[:, 0], torch.from_numpy(x))
    assert torch.equal(gt.data.array(x.transpose(2, 0, 1), "wnh").values[:, 0], torch.from_numpy(x))
    assert gt.data.array(x[0], "nl").shape == (1, 12) and gt.data.array(x, "ncl").shape == (8, 12)
    assert gt.data.array(x.transpose(0, 2, 1), "nlc").shape == (8, 12)
    assert gt.data.array([1.0, 2.0, 4.0]).shape == (1,)


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((5, 3, 8, 9), np.uint8, (3, 8, 9)),
        ((5, 8, 9, 3), np.uint8, (3, 8, 9)),
        ((5, 8, 9, 1), np.uint8, (1, 8, 9)),
        ((5, 8, 9), np.uint8, (1, 8, 9)),
        ((5, 9), np.float32, (9,)),
    ],
)
def test_a_layout_that_can_only_be_one_is_found(shape, dtype, expected):
    assert gt.data.array(noise(*shape, dtype=dtype)).shape == expected


@pytest.mark.parametrize(
    ("shape", "dtype", "readings"),
    [
        ((5, 3, 8, 3), np.uint8, "as nchw or as nhwc"),
        ((5, 8, 8, 8), np.uint8, "as nchw or as nhwc"),
        ((5, 8, 9), np.float32, "as nhw or as ncl"),
        ((64, 64, 3), np.uint8, "as nhw or as one image of layout hwc"),
    ],
)
def test_a_layout_that_can_be_two_is_refused_with_both(shape, dtype, readings):
    with pytest.raises(ValueError, match=readings):
        gt.data.array(noise(*shape, dtype=dtype))


@pytest.mark.parametrize(
    ("x", "arguments", "words"),
    [
        (noise(5, 8, 8), {"layout": "nchw"}, r"'nchw' has 4 axes, and 'array' has shape \(5, 8, 8\)"),
        (noise(5, 8, 8), {"layout": "nxy"}, '"nchw" .images.*"nd" .a table'),
        (noise(5, 8, 8), {"layout": 3}, "layout 3 is unknown"),
        (noise(5, 2, 2, 2, 2), {}, "two to four axes"),
        (np.zeros((0, 3)), {}, "at least one sample"),
        (3.0, {}, "at least one sample"),
        (np.array(["a", "b"]), {}, "expected numbers"),
        ([[1, 2], [3]], {}, "several shapes"),
        ([torch.zeros(2), torch.zeros(3)], {}, "several shapes"),
        (np.zeros((3, 2), complex), {}, "expected numbers"),
        (torch.zeros(3, 2, dtype=torch.complex64), {}, "real and imaginary"),
        (gt.Data("digits", BYTES), {}, "a data set already"),
        (np.ma.masked_array(np.ones((3, 2)), np.eye(3, 2)), {}, "masked values"),
        (np.array([[2**63], [1]], np.uint64), {}, r"from 2\^63 on"),
        (torch.from_numpy(np.array([[2**64 - 1], [1]], np.uint64)), {}, r"from 2\^63 on"),
        (torch.eye(3).to_sparse(), {}, r"a sparse tensor: give x.to_dense\(\)"),
    ],
)
def test_arrays_that_cannot_be_read(x, arguments, words):
    with pytest.raises(ValueError, match=words):
        gt.data.array(x, **arguments)


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor:UserWarning")
def test_a_quantised_tensor_is_refused():
    with pytest.raises(ValueError, match=r"quantised tensor: give x.dequantize\(\)"):
        gt.data.array(torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8))


# ---------------------------------------------------------------------------------------------------- arrays: range


def test_bytes_stay_bytes_and_whole_levels_become_bytes():
    x = noise(5, 3, 8, 9)
    for same in (x, x.astype(np.float64), x.astype(np.int32), x.astype(">u2")):
        data = gt.data.array(same, range=(0, 255))
        assert data.values.dtype == torch.uint8 and torch.equal(data.values, torch.from_numpy(x))
        torch.testing.assert_close(data.unscale(data.take(slice(None))), torch.from_numpy(x).float())


@pytest.mark.parametrize("span", [(0, 1), (-1, 1), (0, 65535), (-1000, 3000)])
def test_a_range_becomes_minus_one_to_one_and_back(span):
    low, high = span
    x = np.linspace(low, high, 5 * 3 * 8 * 9).reshape(5, 3, 8, 9)
    data = gt.data.array(x, range=span)
    assert data.values.min() == -1 and data.values.max() == 1
    torch.testing.assert_close(
        data.values.double(), torch.from_numpy((x - low) / (high - low) * 2 - 1), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(data.unscale(data.values), torch.from_numpy(x), atol=1e-6 * (high - low), rtol=0)


def test_images_that_reach_below_zero_need_no_range_and_masks_may_be_bool():
    assert torch.equal(gt.data.array(np.array([[[[-0.5, 1]]]] * 5), "nchw").values[0, 0, 0], torch.tensor([-0.5, 1]))
    data = gt.data.array(np.array([[[True, False]]]), "nhw")
    assert data.values.flatten().tolist() == [255, 0]
    assert torch.equal(gt.data.array(np.array([[[True, False]]]), "nhw", range=(0, 1)).values, data.values)


@pytest.mark.parametrize(
    ("x", "arguments", "words"),
    [
        (np.ones((5, 3, 8, 8)), {}, r"from 1 to 1: say which ones are black and white"),
        (np.full((5, 3, 8, 8), 254.0), {}, "from 254 to 254: say"),
        (noise(5, 3, 8, 8, dtype=np.uint16), {}, "say which ones are black"),
        (noise(5, 3, 8, 8) % 2, {}, r"0 and 1 only: give range=\(0, 1\)"),
        (noise(5, 3, 8, 8) > 9, {"range": (0, 255)}, r"boolean, with False for black: leave range=\(0, 255\) out"),
        (np.full((5, 3, 8, 8), 2.0), {"range": (0, 1)}, r"from 2 to 2, beyond range=\(0, 1\)"),
        (np.zeros((5, 2)), {"range": (1, 0)}, "low < high"),
        (np.zeros((5, 2)), {"range": (0, math.inf)}, "low < high"),
        (np.zeros((5, 2)), {"range": 255}, r"Expected range=\(low, high\)"),
        (np.array([[1.0], [math.nan]]), {}, "1 of 2 samples of 'array'.*NaN"),
        (np.array([[1e300], [0.0]]), {}, "infinite"),  # in float32
    ],
)
def test_values_beyond_their_range_are_refused(x, arguments, words):
    with pytest.raises(ValueError, match=words):
        gt.data.array(x, **arguments)


def test_a_table_is_standardised_by_column_which_is_shown_and_undone(capsys):
    rng = np.random.default_rng(0)
    table = np.stack([rng.normal(170, 10, 500), rng.normal(3e4, 1e4, 500), np.full(500, 7.0)], 1)
    data = gt.data.array(table, name="people")
    assert data.values.dtype == torch.float32
    torch.testing.assert_close(data.values.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(data.values.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(data.unscale(data.values).double(), torch.from_numpy(table), atol=0.01, rtol=1e-5)
    said = capsys.readouterr().out
    means, deviations = table.mean(0), table.std(0)
    assert said.startswith("people: 500 samples of shape (3,), a table") and "7, constant" in said
    assert f"{means[0]:.4g} ± {deviations[0]:.4g}, {means[1]:.4g} ± {deviations[1]:.4g}" in said


def test_a_large_offset_does_not_drown_a_column():
    """Seconds since 1970: float32 alone knows them to 64 s."""
    seconds = 1.7e9 + np.arange(100.0)
    torch.testing.assert_close(
        gt.data.array(seconds).values[:, 0].double(),
        torch.from_numpy((seconds - seconds.mean()) / seconds.std()),
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize("span", [None, (1.7e9, 1.7e9 + 99)])
def test_a_large_offset_is_undone(span):
    seconds = 1.7e9 + np.arange(100.0)
    data = gt.data.array(seconds, range=span)
    found = data.unscale(data.take(slice(None)))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found[:, 0], torch.from_numpy(seconds), atol=1e-4, rtol=0)


def test_signals_are_standardised_by_channel_over_samples_and_time():
    x = np.random.default_rng(0).normal(size=(50, 2, 30)) * np.array([[3.0], [0.1]]) + np.array([[5.0], [-2.0]])
    data = gt.data.array(x, "ncl")
    torch.testing.assert_close(data.values.mean((0, 2)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(data.values.std((0, 2), correction=0), torch.ones(2), atol=1e-5, rtol=0)
    assert not torch.allclose(
        data.values.mean(0), torch.zeros(2, 30), atol=1e-2
    )  # a point in time has a mean of its own
    torch.testing.assert_close(data.unscale(data.values).double(), torch.from_numpy(x), atol=1e-4, rtol=0)


def test_samples_of_another_shape_have_no_units():
    with pytest.raises(ValueError, match=r"\(n, 2\), got \(5, 3\)"):
        gt.data.array(np.zeros((4, 2))).unscale(torch.zeros(5, 3))


# --------------------------------------------------------------------------------------------------- arrays: labels


@pytest.mark.parametrize(
    ("label", "expected", "names"),
    [
        (["dog", "cat", "dog", "eel"], [1, 0, 1, 2], ("cat", "dog", "eel")),
        (np.array(["b", "a", "b", "b"], object), [1, 0, 1, 1], ("a", "b")),
        ([1, 2, 3, 1], [0, 1, 2, 0], ("1", "2", "3")),
        (np.array([7, 7, 5, 9], np.uint8), [1, 1, 0, 2], ("5", "7", "9")),
        (torch.tensor([2.0, 1.0, 2.0, 2.0]), [1, 0, 1, 1], ("1", "2")),
        ([True, False, False, True], [1, 0, 0, 1], ("False", "True")),
        ([10, 9, 10, 9], [1, 0, 1, 0], ("9", "10")),  # in the order of numbers
    ],
)
def test_labels_become_classes_from_zero_on_with_names(label, expected, names):
    data = gt.data.array(noise(4, 3, 8, 8), label=label)
    assert data.label.tolist() == expected and data.label.dtype == torch.int64 and data.class_names == names


def test_names_may_be_given_to_labels_that_count_from_zero():
    data = gt.data.array(noise(4, 3, 8, 8), label=[0, 2, 2, 0], class_names=["cat", "dog", "eel"])
    assert data.label.tolist() == [0, 2, 2, 0] and data.class_names == ("cat", "dog", "eel")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"label": [0, 1, 2]}, "4 samples and 3 labels; give one for each sample"),
        ({"label": np.eye(4)}, r"codes.argmax\(1\)"),
        ({"label": [0.5, 1, 2, 3]}, "names or whole numbers"),
        ({"label": [math.nan, 1, 2, 3]}, "names or whole numbers"),
        ({"label": [None, "a", "b", "c"]}, "names or whole numbers"),
        ({"label": [1, 2, 3, 4], "class_names": "abcd"}, "count them from 0 to 3"),
        ({"label": list("abca"), "class_names": "abc"}, "names already"),
        ({"class_names": "abc"}, "give label="),
        ({"label": [0, 1, 2, 1], "class_names": ["cat", "dog", "cat"]}, "2 classes of 'array' are called 'cat'"),
        ({"label": torch.arange(4).to_sparse()}, "sparse or quantised tensor: give plain int64"),
        ({"label": [1e300, 1.0, 2.0, 3.0]}, r"reach 1e\+300, beyond the whole numbers"),
        ({"label": [math.inf, 1.0, 2.0, 3.0]}, "reach inf"),
        ({"label": np.array([2**63, 1, 2, 3], np.uint64), "class_names": "abcd"}, r"reach 9.223e\+18"),
    ],
)
def test_labels_that_do_not_fit(arguments, words):
    with pytest.raises(ValueError, match=words):
        gt.data.array(noise(4, 3, 8, 8), **arguments)


# ------------------------------------------------------------------------------------------------ pictures: one file


def form(channels=3, height=8, width=8, fit="stretch", background="white"):
    return images.Format(channels, height, width, fit, background)


def saved(tmp_path, picture, name="one.png", **how):
    picture.save(tmp_path / name, **how)
    return tmp_path / name


def levels_of(path, form):
    return images.read_picture(path, form).levels


GREY = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
COLOUR = Image.fromarray(noise(8, 8, 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_mode_of_pillow_gives_what_its_colours_are(tmp_path, mode, channels):
    """Of a grey wedge, by the conversion's own meaning: black 0, white 255."""
    grey = np.asarray(GREY)
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "I":
        picture = Image.fromarray(grey.astype(np.int32) * 257)
    elif mode == "F":
        picture = Image.fromarray(grey.astype(np.float32) / 255)
    elif mode == "CMYK":
        picture = Image.merge("CMYK", [Image.fromarray(255 - grey)] * 3 + [Image.new("L", (8, 8))])
    elif mode == "1":
        picture, grey = Image.fromarray(grey >= 128), np.where(grey >= 128, 255, 0)
    else:
        picture = GREY.convert("RGBA" if mode == "PA" else mode)
        picture = picture.convert("PA") if mode == "PA" else picture
    assert picture.mode == mode
    kind = "tiff" if mode in ("CMYK", "YCbCr", "PA", "F", "I") else "png"
    seen = levels_of(saved(tmp_path, picture, f"one.{kind}"), form(channels)).astype(int)
    assert seen.shape == (channels, 8, 8)
    assert abs(seen - grey).max() <= (3 if mode in ("PA", "P", "YCbCr") else 1)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    levels = np.array([[0, 256, 32768, 65535]], np.uint16)
    seen = levels_of(saved(tmp_path, Image.fromarray(levels)), form(1, 1, 4))
    assert seen.flatten().tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("levels", "expected"), [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 128.0, 255.0], [0, 128, 255])]
)
def test_floating_point_pictures_are_read_as_0_to_1_or_as_0_to_255(tmp_path, levels, expected):
    picture = Image.fromarray(np.array([levels], np.float32))
    assert levels_of(saved(tmp_path, picture, "one.tiff"), form(1, 1, 3)).flatten().tolist() == expected


@pytest.mark.parametrize(("white", "expected"), [(255, [0, 128, 255]), (65535, [0, 128, 255])])
def test_integers_of_32_bits_are_read_as_8_bits_or_as_16(tmp_path, white, expected):
    picture = Image.fromarray(np.array([[0, white / 2 + 0.5, white]]).astype(np.int32))
    assert picture.mode == "I"
    assert levels_of(saved(tmp_path, picture, "one.tiff"), form(1, 1, 3)).flatten().tolist() == expected


@pytest.mark.parametrize(
    ("dtype", "dark", "light", "expected"),
    [(np.float32, 1, 255, 1), (np.int32, 255, 65535, 1), (np.int32, 200, 255, 200), (np.float32, 0.2, 1, 51)],
)
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_one_level_of_white_holds_for_a_whole_folder(tmp_path, dtype, dark, light, expected, order):
    root = tmp_path / "scans"
    root.mkdir()
    for name, level in zip(order, (dark, light), strict=True):
        saved(root, Image.fromarray(np.full((4, 4), level, dtype)), f"{name}.tiff")
    for _ in range(2):  # the second time from the cache
        data = gt.data.folder(root, size=4, channels=1)
        assert sorted(data.values[:, 0, 0, 0].tolist()) == [expected, 255] and not data.skipped


def test_a_picture_that_cannot_be_read_again_is_skipped(tmp_path, monkeypatch):
    root, read = tmp_path / "scans", images.read_picture
    root.mkdir()
    for name, level in (("a", 0.2), ("b", 1), ("c", 255), ("d", 1)):
        saved(root, Image.fromarray(np.full((4, 4), level, np.float32)), f"{name}.tiff")

    def gone_the_second_time(path, form, whites):
        if whites and os.fspath(path).endswith("b.tiff"):
            raise OSError(errno.EIO, "Input/output error", path)
        return read(path, form, whites)

    with monkeypatch.context() as patch:
        patch.setattr(images, "read_picture", gone_the_second_time)
        data = gt.data.folder(root, size=4, channels=1)
    assert data.values[:, 0, 0, 0].tolist() == [0, 255, 1] and data.skipped == (("b.tiff", "Input/output error"),)
    assert gt.data.folder(root, size=4, channels=1).values[:, 0, 0, 0].tolist() == [0, 1, 255, 1]  # not kept


@pytest.mark.parametrize("levels", [[-1.0, 0.0], [0.0, 1e4], [0.0, math.nan]])
def test_grey_levels_that_mean_nothing_known_are_refused(tmp_path, levels):
    picture = Image.fromarray(np.array([levels], np.float32))
    with pytest.raises(ValueError, match="grey levels"):
        levels_of(saved(tmp_path, picture, "one.tiff"), form(1))


@pytest.mark.parametrize(("background", "behind"), [("white", (255, 255, 255)), ("#204060", (32, 64, 96))])
def test_what_is_transparent_shows_the_background(tmp_path, background, behind):
    """Three pixels of red: opaque, half, and gone. In modes RGBA, P and RGB with a transparent colour."""
    red = Image.fromarray(np.array([[[255, 0, 0, 255], [255, 0, 0, 128], [255, 0, 0, 0]]], np.uint8))
    seen = levels_of(saved(tmp_path, red), form(3, 1, 3, background=background))
    expected = [np.array([255, 0, 0]) * a + np.array(behind) * (1 - a) for a in (1, 128 / 255, 0)]
    assert abs(seen[:, 0].T - np.array(expected)).max() <= 1
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    colours = Image.fromarray(np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8))
    for picture, transparent in ((palette, 1), (colours, (40, 50, 60))):
        file = saved(tmp_path, picture, transparency=transparent)
        assert levels_of(file, form(3, 1, 2, background=background))[:, 0].T.tolist() == [
            [10, 20, 30],
            list(behind),
        ]


def test_a_cameras_note_on_orientation_is_followed(tmp_path):
    upright = Image.fromarray(noise(8, 16, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    file = saved(tmp_path, upright, exif=exif)
    turned = np.rot90(np.asarray(upright), -1)
    assert (levels_of(file, form(3, 16, 8)).transpose(1, 2, 0) == turned).all()


def test_of_an_animation_the_first_picture_is_taken(tmp_path):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    file = saved(tmp_path, first, "one.gif", save_all=True, append_images=[second])
    assert levels_of(file, form())[:, 4, 4].tolist() == [255, 0, 0]


def test_how_pictures_are_fitted(tmp_path):
    """Twice as wide as high, in three bands: red, white, blue. To a square."""
    bands = np.zeros((32, 64, 3), np.uint8)
    bands[:, :16], bands[:, 16:48], bands[:, 48:] = (255, 0, 0), (255, 255, 255), (0, 0, 255)
    file = saved(tmp_path, Image.fromarray(bands))
    crop, pad, stretch = (levels_of(file, form(3, 32, 32, fit, "black")) for fit in images.FITS)
    assert (crop == 255).all()  # the middle
    assert (pad[:, :8] == 0).all() and (pad[:, 24:] == 0).all()  # a margin above and below of a quarter each
    assert pad[:, 16, 3].tolist() == [255, 0, 0] and pad[:, 16, 28].tolist() == [0, 0, 255]
    assert stretch[:, 1, 3].tolist() == [255, 0, 0] and stretch[:, 30, 28].tolist() == [0, 0, 255]
    assert (stretch[:, :, 12:20] == 255).all()
    tall = levels_of(file, form(3, 64, 32, "crop"))  # another proportion: scaled to cover 64 rows
    assert tall.shape == (3, 64, 32) and (tall == 255).all()


def test_small_pictures_are_enlarged(tmp_path):
    file = saved(tmp_path, Image.new("RGB", (1, 1), (9, 8, 7)))
    for fit in ("crop", "pad", "stretch"):
        assert (levels_of(file, form(3, 5, 5, fit)).reshape(3, -1).T == (9, 8, 7)).all()


def test_a_large_jpeg_is_unpacked_in_part_only_and_looks_the_same(tmp_path):
    wave = np.sin(np.arange(1600) / 150)
    large = Image.fromarray(((np.add.outer(wave, wave) + 2) * 63).astype(np.uint8))
    file = saved(tmp_path, large, "one.jpg", quality=95)
    whole = np.asarray(large.resize((40, 40), Image.Resampling.LANCZOS)).astype(int)
    assert abs(levels_of(file, form(1, 40, 40))[0] - whole).max() <= 3


# ------------------------------------------------------------------------------------------------ pictures: a folder


def tree(root, **folders):
    """Sub-folders of so many pictures each, in a colour of their own."""
    for place, (name, count) in enumerate(folders.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (10 + index, 12), (50 * place, index, 0)).save(root / name / f"{index}.png")
    return root


def test_classes_are_the_sub_folders_in_the_order_of_their_names(tmp_path, capsys):
    root = tree(tmp_path / "pets", zebra=2, ant=3)
    (root / "ant" / "deeper").mkdir()
    Image.new("L", (5, 5), 200).save(root / "ant" / "deeper" / "x.bmp")
    data = gt.data.folder(root, size=8)
    assert data.name == "pets" and data.class_names == ("ant", "zebra") and data.label.tolist() == [0] * 4 + [1] * 2
    assert data.values.shape == (6, 3, 8, 8) and data.values.dtype == torch.uint8 and data.skipped == ()
    assert data.values[:, 0, 0, 0].tolist() == [50, 50, 50, 200, 0, 0]  # the file's own picture beside its own label
    assert data.values[:, 1, 0, 0].tolist() == [0, 1, 2, 200, 0, 1]
    said = capsys.readouterr().out
    assert said == "pets: 6 pictures, scaled and cropped to 3 × 8 × 8, in 2 classes (ant, zebra)\n"


def test_without_sub_folders_there_are_no_labels(tmp_path, capsys):
    root = tree(tmp_path, a=3)
    for folder in (root / "a", root):  # one class is none
        data = gt.data.folder(folder, size=(4, 6), channels=1)
        assert data.label is None and data.class_names == () and data.shape == (1, 4, 6)
    tree(root, b=1)
    Image.new("L", (5, 5)).save(root / "stray.png")
    capsys.readouterr()
    assert gt.data.folder(root, size=4).label is None
    assert "without labels, since some lie in sub-folders and some do not" in capsys.readouterr().out


def bomb(path, side):
    """A PNG that claims to be side × side pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def test_what_cannot_be_read_is_skipped_said_and_listed(tmp_path, capsys):
    root = tree(tmp_path / "pets", ant=2, bee=2)
    whole = saved(tmp_path, Image.fromarray(noise(60, 60, 3))).read_bytes()
    (root / "ant" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "ant" / "notes.txt").write_text("no picture")
    (root / "bee" / "empty.jpg").write_bytes(b"")
    (root / "bee" / "esc\x1b[31m.png").write_bytes(b"")
    (root / "bee" / "vector.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    bomb(root / "bee" / "bomb.png", 100_000)
    os.symlink(root / "nowhere", root / "bee" / "link.png")
    data = gt.data.folder(root, size=8)
    reasons = dict(data.skipped)
    assert data.label.tolist() == [0, 0, 1, 1] and len(reasons) == 7
    assert "truncated" in reasons["ant/cut.png"] and "decompression bomb" in reasons["bee/bomb.png"]
    for name in ("ant/notes.txt", "bee/empty.jpg", "bee/esc�[31m.png", "bee/vector.eps"):
        assert reasons[name] == "no picture that Pillow can read"
    assert "No such file" in reasons["bee/link.png"]
    said = " ".join(capsys.readouterr().out.split())
    assert "4 pictures" in said and "7 skipped: " in said and "… 4 more" in said and str(tmp_path) not in said


def test_hidden_files_pipes_and_loops_of_links_are_passed_over(tmp_path):
    root = tree(tmp_path / "pets", ant=2, bee=2)
    Image.new("L", (5, 5)).save(root / "ant" / ".hidden.png")
    (root / ".thumbnails").mkdir()
    Image.new("L", (5, 5)).save(root / ".thumbnails" / "x.png")
    os.mkfifo(root / "ant" / "pipe.png")  # opening it would wait for ever
    os.symlink(root, root / "ant" / "loop")
    os.symlink(root / "bee", root / "cat")  # a link to a folder is a folder
    data = gt.data.folder(root, size=8)
    assert data.label.tolist() == [0, 0, 1, 1, 2, 2] and data.class_names == ("ant", "bee", "cat") and not data.skipped


def test_names_that_are_no_characters(tmp_path, capsys):
    root = tree(tmp_path / "pets", ant=1)
    strange = os.fsencode(root) + b"/caf\xe9"
    try:
        os.mkdir(strange)
    except OSError:
        pytest.skip("this file system wants characters")
    for name in (b"/\xff.png", b"/\xfe.txt"):
        with open(strange + name, "wb") as file:
            file.write((root / "ant" / "0.png").read_bytes() if name.endswith(b"png") else b"text")
    for _ in range(2):  # the second time from the cache
        data = gt.data.folder(root, size=8)
        assert data.class_names == ("ant", "caf�") and data.label.tolist() == [0, 1]
        assert data.skipped == (("caf�/�.txt", "no picture that Pillow can read"),)
    capsys.readouterr().out.encode()


def test_folders_that_differ_in_a_space_of_no_ink_keep_their_own_names(tmp_path):
    data = gt.data.folder(tree(tmp_path / "pets", **{"a\u00a0b": 1, "a\u2003b": 2, "c\u00a0d": 1}), size=8)
    assert data.class_names == ("a\\xa0b", "a\\u2003b", "c�d") and data.label.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 0}, "size of an image"),
        ({"size": (8, 8, 3)}, "size of an image"),
        ({"channels": 4}, "channels=4"),
        ({"channels": [3]}, r"channels=\[3\]"),
        ({"channels": True}, "channels=True"),
        ({"fit": "cut"}, "'crop', 'pad', 'stretch', got fit='cut'"),
        ({"background": "nothing"}, "background='nothing'"),
        ({"limit": 0}, "limit=0"),
    ],
)
def test_settings_of_a_folder_that_make_no_sense(tmp_path, arguments, words):
    with pytest.raises(ValueError, match=words):
        gt.data.folder(tree(tmp_path / "pets", ant=1), **arguments)


def test_a_number_is_no_folder():
    with pytest.raises(ValueError, match="path of a folder, such as 'photographs', got 3"):
        gt.data.folder(3)


def test_a_folder_without_pictures(tmp_path):
    for nowhere in (tmp_path / "nowhere", os.fsencode(tmp_path / "nowhere"), "~no such user/nowhere"):
        with pytest.raises(NotADirectoryError, match="nowhere is not there: give the path"):
            gt.data.folder(nowhere)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file is not a folder"):
        gt.data.folder(tmp_path / "file")
    (tmp_path / "pets" / "ant").mkdir(parents=True)
    with pytest.raises(ValueError, match="pets has no files, except hidden ones"):
        gt.data.folder(tmp_path / "pets")
    (tmp_path / "pets" / "ant" / "a.png").write_bytes(b"broken")
    for _ in range(2):
        with pytest.raises(ValueError, match="None of the 1 files .* first one, ant/a.png: no picture that Pillow"):
            gt.data.folder(tmp_path / "pets")


def test_memory_is_asked_for_before_a_picture_is_read(tmp_path):
    root = tree(tmp_path / "pets", ant=10)
    for path in (root / "ant").iterdir():
        path.write_bytes(b"nobody reads this")
    with pytest.raises(
        MemoryError,
        match=r"10 pictures of 3 × 100 × 200 bytes take 600 kB, and 300 kB may be .* limit=5 to read that many",
    ):
        gt.data.folder(root, size=(100, 200), memory=300_000)
    with pytest.raises(MemoryError, match=r"50 kB may be used\. Choose a smaller size\.$"):  # a limit of 0 is refused
        gt.data.folder(root, size=(100, 200), memory=50_000)
    assert images.available_memory() is None or images.available_memory() > 1e6


def test_what_a_container_can_reclaim_is_available(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("500000\n")
    (tmp_path / "memory.current").write_text("450000\n")
    (tmp_path / "memory.stat").write_text("anon 30000\nfile 400000\ninactive_file 300000\nslab_reclaimable 20000\n")
    monkeypatch.setattr(images, "CGROUP", tmp_path)
    assert images.available_memory() == 370_000
    (tmp_path / "memory.max").write_text("max\n")
    assert images.available_memory() != 370_000


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1200, "1.2 kB"), (48e6, "48 MB"), (3.1e15, "3100 TB")]
)
def test_bytes_as_one_says_them(count, words):
    assert images.human(count) == words


def test_a_limit_takes_the_same_ones_from_the_whole_folder(tmp_path):
    root = tree(tmp_path / "pets", ant=30, bee=30)
    some, again = (gt.data.folder(root, size=8, limit=20, cache=False) for _ in range(2))
    assert len(some) == 20 and torch.equal(some.values, again.values) and set(some.label.tolist()) == {0, 1}
    assert len(gt.data.folder(root, size=8, limit=100)) == 60


def test_numbers_of_numpys_are_numbers(tmp_path):
    """And the same ones: what is kept in the cache for them is found again."""
    root = tree(tmp_path / "pets", ant=4, bee=4)
    for whole in (int, np.int64, np.uint8):
        made = gt.data.folder(root, size=whole(8), channels=whole(1), limit=whole(5))
        assert made.values.shape == (5, 1, 8, 8)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    for wrong in (True, np.bool_(True), np.float64(3), np.int64(0)):
        with pytest.raises(ValueError, match="Expected a whole number of pictures"):
            gt.data.folder(root, limit=wrong)


def test_images_come_from_the_cache_until_a_file_or_a_setting_changes(tmp_path, capsys):
    root, cache = tree(tmp_path / "pets", ant=2, bee=2), tmp_path / "cache"
    fresh = gt.data.folder(root, size=8)
    (kept,) = cache.iterdir()
    before = kept.stat().st_mtime_ns
    again = gt.data.folder(root, size=8)
    assert torch.equal(fresh.values, again.values) and kept.stat().st_mtime_ns == before
    assert fresh.label.tolist() == again.label.tolist() and fresh.skipped == again.skipped
    # another content at the same size and time is not seen: this shows that the cache was read
    file, status = root / "ant" / "0.png", (root / "ant" / "0.png").stat()
    content = file.read_bytes()
    file.write_bytes(b"x" * len(content))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert torch.equal(gt.data.folder(root, size=8).values, fresh.values)
    assert len(gt.data.folder(root, size=8, cache=False)) == 3
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # changed
    assert len(gt.data.folder(root, size=8)) == 4 and not kept.exists()  # and the older file is gone
    for change in ({"size": 9}, {"channels": 1}, {"fit": "pad"}, {"background": "black"}, {"limit": 3}):
        gt.data.folder(root, **({"size": 8} | change))
    assert len(list(cache.iterdir())) == 6
    capsys.readouterr()


@pytest.mark.parametrize(
    ("owner", "setting", "less"),
    [
        (Image, "MAX_IMAGE_PIXELS", lambda: 10),
        (Image, "OPEN", lambda: {"BMP": Image.OPEN["BMP"]}),  # to which a plug-in adds its formats
        (ImageFile, "LOAD_TRUNCATED_IMAGES", lambda: False),
    ],
)
def test_a_picture_that_pillow_could_not_read_is_read_when_it_can(tmp_path, monkeypatch, owner, setting, less):
    root = tmp_path / "pets"
    root.mkdir()
    saved(root, Image.new("L", (2, 2)), "small.bmp")
    whole = saved(tmp_path, Image.fromarray(noise(60, 60, 3))).read_bytes()
    (root / "cut.png").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with monkeypatch.context() as patch:
        patch.setattr(owner, setting, less())
        assert len(gt.data.folder(root, size=8)) == 1
    assert len(gt.data.folder(root, size=8)) == 2


def test_a_failure_that_may_pass_is_not_kept(tmp_path, monkeypatch):
    root, read = tree(tmp_path / "pets", ant=2, bee=2), images.read_picture

    def busy(path, *settings):
        if os.fspath(path).endswith(os.path.join("ant", "1.png")):
            raise OSError(errno.EMFILE, "Too many open files", path)
        return read(path, *settings)

    with monkeypatch.context() as patch:
        patch.setattr(images, "read_picture", busy)
        data = gt.data.folder(root, size=8)
    assert data.label.tolist() == [0, 1, 1] and data.skipped == (("ant/1.png", "Too many open files"),)
    assert gt.data.folder(root, size=8).label.tolist() == [0, 0, 1, 1]


def test_a_damaged_cache_is_said_and_made_again(tmp_path, capsys):
    root = tree(tmp_path / "pets", ant=2, bee=2)
    fresh = gt.data.folder(root, size=8)
    (kept,) = (tmp_path / "cache").iterdir()
    whole = kept.read_bytes()
    for damaged in (b"", whole[:100], whole[: len(whole) // 2]):
        kept.write_bytes(damaged)
        capsys.readouterr()
        assert torch.equal(gt.data.folder(root, size=8).values, fresh.values) and kept.read_bytes() == whole
        assert "in the cache is damaged" in capsys.readouterr().out


def test_a_cache_that_must_not_be_read_is_not_called_damaged(tmp_path, capsys, monkeypatch):
    def closed(file):
        raise PermissionError(errno.EACCES, "Permission denied", file)

    root = tree(tmp_path / "pets", ant=2, bee=2)
    fresh = gt.data.folder(root, size=8)
    monkeypatch.setattr(np, "load", closed)
    assert torch.equal(gt.data.folder(root, size=8).values, fresh.values)
    said = capsys.readouterr().out
    assert "in the cache cannot be read (Permission denied), and is made again" in said and "damaged" not in said


# ------------------------------------------------------------------------------------------------------ it trains


def test_a_folder_of_mixed_pictures_trains_a_conditional_recipe(tmp_path):
    """Every mode, mixed sizes, one file broken; classes by sub-folder."""
    rng = np.random.default_rng(0)
    for place, mode in enumerate(["L", "RGB", "RGBA", "P", "1", "CMYK", "I;16", "LA"] * 4):
        folder = tmp_path / "mixed" / "ab"[place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        height, width = rng.integers(20, 90, 2)
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
        kind = "tiff" if mode == "CMYK" else "png"
        if mode == "I;16":
            picture = Image.fromarray(rng.integers(0, 65536, (height, width)).astype(np.uint16))
        elif mode != "RGB":
            picture = picture.convert(mode)
        picture.save(folder / f"{place}.{kind}")
    (tmp_path / "mixed" / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    data = gt.data.folder(tmp_path / "mixed", size=32)
    assert len(data) == 32 and len(data.skipped) == 1 and data.label.bincount().tolist() == [16, 16]
    model = gt.recipes.CONDITIONAL.configure(batch_size=8, flip=True).train(data, steps=2)
    assert model.sample(4).shape == (4, 3, 32, 32) and model.spec.classes == 2


def few_steps(recipe, data, n=5, steps=3):
    made = recipe.configure(batch_size=8).train(data, steps=steps).sample(n)
    assert made.shape == (n, *data.shape) and made.isfinite().all()
    return made


@pytest.mark.parametrize("recipe", ["dcgan", "wgan-gp", "conditional", "stacked", "mlp"])
def test_rectangles_in_colour_train_every_recipe(recipe):
    data = gt.data.array(noise(20, 48, 80, 3), "nhwc", label=[0, 1] * 10)
    assert few_steps(gt.recipes.RECIPES[recipe], data).abs().max() <= 1


def test_an_rgb_image_whose_sides_do_not_halve_trains():
    few_steps(gt.recipes.DCGAN, gt.data.array(noise(20, 3, 33, 50)))


def test_signals_and_tables_train_by_mlp_and_are_refused_by_dcgan():
    for data in (
        gt.data.array(np.random.default_rng(0).normal(size=(60, 2, 128)), "ncl"),
        gt.data.array(np.random.default_rng(0).normal([1.0, 1e4, 3.0], [1.0, 1e4, 1.0], (60, 3))),
    ):
        assert data.unscale(few_steps(gt.recipes.MLP, data)).shape == (5, *data.shape)
        with pytest.raises(ValueError, match="such as mlp"):
            gt.recipes.DCGAN.configure(batch_size=8).train(data, steps=1)


def test_an_array_trains_by_fit():
    data = gt.data.array(noise(20, 3, 48, 80))
    generator, critic = gt.ConvGenerator(4, (48, 80), 3, width=2), gt.ConvCritic((48, 80), 3, width=2)
    log = gt.fit(gt.adversaries(generator, critic, gt.nonsaturating, gt.adam(1e-3)), gt.Feed(data, 4, 8), steps=2)
    assert log.steps == 2 and gt.sample(generator, torch.randn(3, 4)).shape == (3, 3, 48, 80)


def test_a_recipe_learns_a_table():
    """Two columns of scales 1 and 10⁴, correlated by 0.8: so are samples after 400 steps, by the small R1."""
    a, b = np.random.default_rng(0).normal(size=(2, 4000))
    table = np.stack([2 + a, 3e4 + 1e4 * (0.8 * a + 0.6 * b)], 1)
    data = gt.data.array(table)
    made = data.unscale(replace(gt.recipes.MLP, half_life=5_000).train(data, steps=400).sample(4000)).double().numpy()
    assert (abs(made.mean(0) - table.mean(0)) < 0.25 * table.std(0)).all()
    assert (abs(made.std(0) / table.std(0) - 1) < 0.25).all()
    assert abs(np.corrcoef(made.T)[0, 1] - 0.8) < 0.1


def test_fully_connected_networks_learn_signals():
    """Sines of one frequency and any phase have one line in their spectrum: so have samples after 150 steps."""
    phase = 2 * math.pi * np.random.default_rng(0).random((2000, 1, 1))
    data = gt.data.array(np.sin(2 * math.pi * 3 * np.arange(64) / 64 + phase), "ncl")

    def share_of_the_line(signals):
        power = torch.fft.rfft(signals[:, 0]).abs().square().mean(0)
        return (power[3] / power.sum()).item()

    assert share_of_the_line(data.values) > 0.999 and share_of_the_line(torch.randn(500, 1, 64)) < 0.1
    made = replace(gt.recipes.MLP, half_life=5_000).train(data, steps=150).sample(500)
    assert share_of_the_line(made) > 0.85


@pytest.mark.slow
def test_what_to_watch_on_the_page_of_own_images(tmp_path):
    """The two snippets of the page on own images, around its command, as a reader runs them: on sixty flowers."""
    page = json.loads((ROOT / "book" / "own_images.ipynb").read_text(encoding="utf-8"))
    text = "\n".join("".join(cell["source"]) for cell in page["cells"] if cell["cell_type"] == "markdown")
    split, watch = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    train = re.search(r"^gan-tutorial train dcgan (.*?[^\\])\n", text, re.M | re.S).group(1).replace("\\\n", "")
    drawn = gt.data.flowers(60, size=40)
    for k in range(60):
        folder = tmp_path / "photos" / drawn.class_names[int(drawn.label[k])]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.values[k].permute(1, 2, 0).numpy()).save(folder / f"{k}.png")
    options = train.replace("--seconds 180", "--steps 3 --evaluate 0").split()

    def python(*words):
        ours = {"PYTHONPATH": str(ROOT), "GAN_TUTORIAL_CACHE": str(tmp_path / "cache"), "MPLBACKEND": "agg"}
        command = [sys.executable, *words]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **ours})
        assert result.returncode == 0, result.stderr
        return result.stdout

    python("-c", split)
    assert len([*(tmp_path / "held_out").rglob("*.png")]) == 12 and len([*(tmp_path / "photos").rglob("*.png")]) == 48
    python("-m", "gan_tutorial", "train", "dcgan", *options)
    said = python("-c", watch)
    assert re.search(r"train > held-out [01]\.\d\d, chance ½ ± 0\.28\nheld-out > made  [01]\.\d\d", said)
    assert re.search(r"kernel distance .*\d\n", said) and said.count("smallest distance to training") == 2
    assert Image.open(tmp_path / "nearest.png").size == (10 * 33 - 1, 32)
