"""Memory and disk of decoded images, seen from a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_cloth import save

SCRIPT = """
import json, resource, sys
from pathlib import Path
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.data import TileShape, load_good_data
from glass_edge.glass.data_labelled import load_labelled_data

def own_kib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}

folder, limit, file_limit, wanted = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
whole = lambda pixels: ClothSpan(0, pixels.shape[1])
tile = TileShape(64, 64, 16, 1)
if file_limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
before = {name: int(value) for name, value in own_kib().items()}
try:
    if wanted == "good":
        kept = load_good_data(folder, tile, whole, holdout=0.25, seed=0, cache_folder=folder / "cache",
                              memory_limit_bytes=limit)
        after = own_kib()
        print(sum(int(strip.pixels[::7, ::7].sum()) for strip in kept.train + kept.holdout))
    else:
        total = 0
        for image in load_labelled_data(folder, tile, whole):
            total += int(image.strip.pixels[::7, ::7].sum())
        after = own_kib()
        print(total)
except InputError as error:
    print(error)
    sys.exit(2)
print(json.dumps({name: int(value) - before[name] for name, value in after.items()}))
"""
IMAGE_BYTES, COUNT = 1000 * 1000, 48


def run(folder: Path, limit: int, *, wanted: str = "good", file_limit: int = 0) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(limit), str(file_limit), wanted],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def paint(folder: Path) -> int:
    total = 0
    for index in range(COUNT):
        pixels = np.full((1000, 1000), index, np.uint8)
        pixels[::7, ::7] += 3
        save(folder / f"{index:02d}.png", pixels)
        total += int(pixels[::7, ::7].sum())
    return total


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    place = tmp_path_factory.mktemp("images")
    return place, paint(place)


def grown_kib(line: str) -> dict[str, int]:
    return dict(json.loads(line))


def test_the_process_holds_no_more_than_the_limit(folder: tuple[Path, int]) -> None:
    place, total = folder
    code, (found, line) = run(place, limit=8 * IMAGE_BYTES)
    assert (code, int(found)) == (0, total)
    grown = grown_kib(line)
    few = 8 * IMAGE_BYTES // 1024  # a decoded image, its copy and what the decoder needs
    assert grown["RssAnon"] < few
    assert grown["RssFile"] + grown["RssShmem"] < 30 * IMAGE_BYTES // 1024  # libraries; no pages of the images stay
    assert list((place / "cache").iterdir()) == []
    code, (found, line) = run(place, limit=2 * COUNT * IMAGE_BYTES)
    assert (code, int(found)) == (0, total)
    assert grown_kib(line)["RssAnon"] > COUNT * IMAGE_BYTES // 1024 - few  # the other way: all in memory


def test_too_little_disk_is_said_before_anything_is_decoded(folder: tuple[Path, int]) -> None:
    code, lines = run(folder[0], limit=IMAGE_BYTES, file_limit=10 * IMAGE_BYTES)
    assert code == 2
    assert "no room for 0.0447 GiB of decoded images" in lines[0]
    assert str(folder[0] / "cache") in lines[0]


def test_labelled_images_are_not_kept(tmp_path: Path) -> None:
    total = paint(tmp_path / "test" / "good")
    code, (found, line) = run(tmp_path, 0, wanted="labelled")
    assert (code, int(found)) == (0, total)
    assert grown_kib(line)["RssAnon"] < 10 * IMAGE_BYTES // 1024
