"""Peak memory of whole training processes against the number of images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_cloth import paint_good

FEW, MANY = 200, 2000
RECIPE = """
[data]
folder = "{folder}"
holdout = 0.01
span = {{ left_px = 0, right_px = 96 }}
[backbone]
levels = [2, 4]
weights = "random"
[tile]
height_px = 96
width_px = 96
[gas]
points = 64
[training]
epochs = 1
samples_per_epoch = {count}
batch = 8
points = 256
threads = 1
feature_cache = "{cache}"
"""

# The kernel's figure of the process itself: what `wait4` tells begins at the size of the process that started it.
_TRAIN = """
import atexit, re, sys
from pathlib import Path
peak = Path(sys.argv.pop(1))
status = Path("/proc/self/status")
atexit.register(lambda: peak.write_text(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]))
from glass_edge.cli.main import main
main()
"""


def peak_mib(folder: Path, count: int, cache: str) -> float:
    """Peak resident memory of `glass-edge train` on so many images of one tile, MiB."""
    images = folder / f"good-{count}"
    if not images.exists():
        paint_good(images, count, (96, 96))
    recipe = folder / f"{cache}-{count}.toml"
    recipe.write_text(RECIPE.format(folder=images, count=count, cache=cache), encoding="utf-8")
    run = folder / f"run-{cache}-{count}"
    command = [sys.executable, "-c", _TRAIN, str(folder / "peak"), "train", str(recipe), "--run-folder", str(run)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert (run / "metrics.csv").exists()
    return int((folder / "peak").read_text()) / 1024


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    disk = [peak_mib(tmp_path, count, "disk") for count in (FEW, MANY)]
    memory = [peak_mib(tmp_path, count, "memory") for count in (FEW, MANY)]
    # the decoded pixels, 9 KiB an image here, are in memory (up to a limit)
    assert disk[1] - disk[0] < 40, (disk, memory)
    # and this shows that it would be seen: 200 KiB of maps a tile, 360 MiB more
    assert memory[1] - memory[0] > 200, (disk, memory)
