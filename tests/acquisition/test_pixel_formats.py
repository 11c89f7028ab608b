"""Every format against a computation of its own: bit by bit in Python integers."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.acquisition.pixel_formats import convert, demosaic, pixel_format
from glass_edge.errors import InputError

MONO = {"Mono10": 10, "Mono12": 12, "Mono14": 14, "Mono16": 16}


def as_bytes(values: list[int], bits: int, packing: str) -> bytes:
    if packing == "p":  # one long little-endian number
        number = sum(value << (bits * index) for index, value in enumerate(values))
        return number.to_bytes(len(values) * bits // 8, "little")
    if packing == "Packed":
        out = bytearray()
        low = bits - 8
        for first, second in zip(values[::2], values[1::2], strict=True):
            middle = (first & ((1 << low) - 1)) | ((second & ((1 << low) - 1)) << 4)
            out += bytes([first >> low, middle, second >> low])
        return bytes(out)
    return b"".join(value.to_bytes(2 if bits > 8 else 1, "little") for value in values)


@settings(max_examples=40, deadline=None)
@given(
    form=st.sampled_from(
        ["Mono8", *MONO, "Mono10p", "Mono12p", "Mono10Packed", "Mono12Packed"],
    ),
    n_lines=st.integers(1, 5),
    eighths=st.integers(1, 6),
    padding=st.integers(0, 7),
    seed=st.integers(0, 2**32 - 1),
)
def test_mono_keeps_the_highest_bits(form: str, n_lines: int, eighths: int, padding: int, seed: int) -> None:
    made = pixel_format(form)
    width = 8 * eighths
    values = np.random.default_rng(seed).integers(0, 1 << made.bits, (n_lines, width))
    lines = [as_bytes(row.tolist(), made.bits, made.packing) + bytes(padding) for row in values]
    data = np.frombuffer(b"".join(lines) + b"beyond", np.uint8)
    out = convert(data, made, n_lines, width, pitch_bytes=len(lines[0]))
    np.testing.assert_array_equal(out, values >> (made.bits - 8))
    assert out.dtype == np.uint8
    assert len(lines[0]) - padding == made.line_bytes(width)


@pytest.mark.parametrize("name", ["RGB8", "BGR8", "RGBa8", "BGRa8"])
def test_colour_comes_as_rgb(name: str) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (3, 8, 3), dtype=np.uint8)
    sent = rgb[:, :, ::-1] if name.startswith("BGR") else rgb
    if "a" in name:
        sent = np.dstack([sent, np.full((3, 8), 7, np.uint8)])
    out = convert(np.ascontiguousarray(sent).ravel(), pixel_format(name), 3, 8)
    np.testing.assert_array_equal(out, rgb)
    assert out.flags.c_contiguous


@pytest.mark.parametrize("pattern", ["RG", "BG", "GR", "GB"])
@pytest.mark.parametrize("suffix", ["8", "10", "12", "16", "10p", "12p"])
def test_bayer_of_a_plain_colour_is_that_colour(pattern: str, suffix: str) -> None:
    """Colour that is the same everywhere survives any demosaicing, and a swapped pattern does not."""
    form = pixel_format(f"Bayer{pattern}{suffix}")
    level = {"R": 200, "G": 90, "B": 30}
    second = {"RG": "GB", "BG": "GR", "GR": "BG", "GB": "RG"}[pattern]
    rows = []
    for line in range(6):
        letters = pattern if line % 2 == 0 else second
        values = [level[letters[column % 2]] << (form.bits - 8) for column in range(8)]
        rows.append(as_bytes(values, form.bits, form.packing))
    out = convert(np.frombuffer(b"".join(rows), np.uint8), form, 6, 8)
    assert out.shape == (6, 8, 3)
    assert (out == [200, 90, 30]).all()


def test_demosaic_is_bilinear_inside() -> None:
    mosaic = np.random.default_rng(2).integers(0, 256, (12, 16), dtype=np.uint8)
    out = demosaic(mosaic, "BayerRG").astype(int)
    corners, cross = [[1, 2, 1], [2, 4, 2], [1, 2, 1]], [[0, 1, 0], [1, 4, 1], [0, 1, 0]]
    kernel = {"R": np.array(corners) / 4, "G": np.array(cross) / 4}
    grid = np.indices(mosaic.shape)
    masks = [
        (grid[0] % 2 == 0) & (grid[1] % 2 == 0),
        (grid[0] + grid[1]) % 2 == 1,
        (grid[0] % 2 == 1) & (grid[1] % 2 == 1),
    ]
    for channel, mask in enumerate(masks):
        plane = np.where(mask, mosaic, 0).astype(np.float64)
        expected = cv2.filter2D(plane, -1, kernel["G" if channel == 1 else "R"])
        assert np.abs(out[2:-2, 2:-2, channel] - expected[2:-2, 2:-2]).max() <= 1


@pytest.mark.parametrize("what", ["Mono1p", "YUV422_8", 0x01, "Coord3D_C16"])
def test_unknown_formats_say_which_are_known(what: str | int) -> None:
    with pytest.raises(InputError, match="Mono8, "):
        pixel_format(what)


def test_the_code_of_a_buffer_is_the_name() -> None:
    symbolics = pytest.importorskip("harvesters.util.pfnc").symbolics  # an independent table

    from glass_edge.acquisition import pixel_formats

    for code, name in pixel_formats._CODES.items():
        assert symbolics[code] == name
        assert pixel_format(code) == pixel_format(name)


def test_short_data_and_odd_widths_are_refused() -> None:
    with pytest.raises(InputError, match="needs 32 bytes, not 31"):
        convert(np.zeros(31, np.uint8), pixel_format("Mono8"), 4, 8)
    with pytest.raises(InputError, match="multiple of 8"):
        pixel_format("Mono10p").line_bytes(9)
    with pytest.raises(InputError, match="has no colour"):
        convert(np.zeros(8, np.uint8), pixel_format("BayerRG8"), 1, 8)
