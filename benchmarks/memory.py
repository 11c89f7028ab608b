"""Peak memory of a training run against the number of images in its folder.

    python benchmarks/memory.py [--tiles 200 2000] [--cache disk]

Folders of simulated cloth, one tile an image, are made under --out, and each is trained for one epoch that shows as
many crops as there are images, by an ordinary `glass-edge train` in a process of its own. What that process holds is
read from /proc ten times a second: its own memory (anonymous pages, which the system cannot take back without swap)
apart from the pages of files, which it can.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

_EVERY_S = 0.1
_RECIPE = """
[data]
folder = "{folder}"

[training]
epochs = 1
threads = 1
samples_per_epoch = {tiles}
feature_cache = "{cache}"
"""


def make_images(folder: Path, tiles: int) -> None:
    """A data set of `tiles` good images, unless it is there."""
    if not folder.is_dir():
        size = ["--width-px", "512", "--lines", "256", "--seed", "7"]
        _glass_edge("simulate", str(folder), "--cloth", "photo:linen", *size, "--good", str(tiles), "--test-good", "1")


def train(folder: Path, tiles: int, cache: str, run: Path) -> tuple[float, float, float]:
    """Peaks of the process's own memory and of mapped file pages, MiB, and its seconds."""
    recipe = folder.with_suffix(f".{cache}.toml")
    recipe.write_text(_RECIPE.format(folder=folder.name, tiles=tiles, cache=cache))
    command = [sys.executable, "-m", "glass_edge.cli", "train", str(recipe), "--run-folder", str(run)]
    started = time.perf_counter()
    own = mapped = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            now = _status(process.pid)
            own, mapped = max(own, now.get("RssAnon", 0)), max(mapped, now.get("RssFile", 0) + now.get("RssShmem", 0))
            time.sleep(_EVERY_S)
        if process.returncode:
            raise SystemExit(process.stderr.read() if process.stderr else "train failed")
    return own / 1024, mapped / 1024, time.perf_counter() - started


def _status(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}


def _glass_edge(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "glass_edge.cli", *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Train each folder and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--cache", choices=["off", "memory", "disk"], default="disk")
    parser.add_argument("--out", type=Path, required=True, help="folder of images and runs")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print("| tiles | own memory, MiB | pages of files, MiB | s |\n| --- | --- | --- | --- |", flush=True)
    for tiles in options.tiles:
        folder = options.out.resolve() / f"tiles-{tiles}"
        make_images(folder, tiles)
        run = options.out.resolve() / f"run-{tiles}-{options.cache}-{int(time.time())}"
        own, mapped, seconds = train(folder, tiles, options.cache, run)
        print(f"| {tiles} | {own:.0f} | {mapped:.0f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
