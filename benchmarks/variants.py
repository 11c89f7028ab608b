"""Variants of the method on labelled cloth, several seeds each: a table of means and spreads.

Every run is an ordinary `glass-edge train` and `glass-edge evaluate` in a folder of its own; one that is there is not
made again, so that the script can be stopped and continued.

    python benchmarks/variants.py --data FABRIC... --out FOLDER [--seeds 3] [--epochs 3] [--only NAME...]

The row "epoch chosen by the test labels" is what no recipe can give: of the runs that chose without labels, the epoch
that the labelled images would have picked for its tile AUROC. The difference is the price of honesty.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_REPOSITORY = Path(__file__).resolve().parents[1]
TEXTURES = "textures"  # stands for --textures

Tables = dict[str, dict[str, Any]]
_HIDDEN = {"hidden": 256, "prior": "whitened"}
_PUBLISHED = {"hidden": 256, "prior": "none", "whiten": False}
VARIANTS: dict[str, Tables] = {
    "Mahalanobis map": {"training": {"method": "mahalanobis"}},
    "GLASS-m (the default)": {},
    "GLASS-h": {"gas": {"hypothesis": "hypersphere"}},
    "GLASS-j": {"gas": {"hypothesis": "judge"}},
    "LAS only": {"gas": {"enabled": False}},
    "GAS only": {"las": {"enabled": False}},
    "without adaptor": {"model": {"adaptor": "none"}},
    "hidden layer of 256 beside the prior": {"model": _HIDDEN},
    "the same, LAS only": {"model": _HIDDEN, "gas": {"enabled": False}},
    "the same, GAS only": {"model": _HIDDEN, "las": {"enabled": False}},
    "hidden layer of 256, no whitening, no prior": {"model": _PUBLISHED},
    "no prior, LAS only": {"model": _PUBLISHED, "gas": {"enabled": False}},
    "no prior, GAS only": {"model": _PUBLISHED, "las": {"enabled": False}},
    "without noise": {"gas": {"noise": False}},
    "without ascent": {"gas": {"steps": 0}},
    "without projection": {"gas": {"projection": False}},
    "without OHEM": {"training": {"hard_quantile": 0.0}},
    "Perlin masks, built-in textures": {"las": {"source": "perlin"}},
    "Perlin masks, folder of textures": {"las": {"source": "perlin", "textures": TEXTURES}},
    "cloth masks, folder of textures": {"las": {"textures": TEXTURES}},
    "epoch chosen without labels": {"training": {"select": "synthetic"}},
}
CHOSEN, BY_LABELS = "epoch chosen without labels", "epoch chosen by the test labels"
FIGURES = ("tile_auroc", "tile_ap", "region_recall", "false_alarms_per_good_strip")


def recipe_text(data: Path, seed: int, epochs: int, tables: Tables, textures: Path | None) -> str:
    """A recipe file."""
    training = {"epochs": epochs, "threads": 1, **tables.get("training", {})}
    merged: Tables = {**tables, "data": {"folder": str(data)}, "training": training}
    lines = [f"seed = {seed}"]
    for table, keys in merged.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {json.dumps(str(textures) if value == TEXTURES else value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def run_one(folder: Path, text: str, *, all_epochs: bool) -> list[dict[str, Any]]:
    """Train and evaluate in `folder` unless that was done.

    Returns:
        Figures of the checkpoint, and with `all_epochs` those of the epoch of largest tile AUROC on the test images.
    """
    result = folder / "run" / "evaluation.json"
    if not result.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        recipe = folder / "variant.toml"
        recipe.write_text(text)
        run = ["--run-folder", str(folder / "run")]
        if not (folder / "run" / "training.json").is_file():  # training is not at its end
            resume = ["--resume"] if (folder / "run" / "training-state.pt").is_file() else []
            _glass_edge("train", str(recipe), *run, *resume)
        _glass_edge("evaluate", str(folder / "run"))
    found = [json.loads(result.read_text())["figures"]]
    if all_epochs:
        epochs = folder / "run" / "evaluation-epochs.json"
        if not epochs.is_file():
            _glass_edge("evaluate", str(folder / "run"), "--all-epochs")
        documents = [one["figures"] for one in json.loads(epochs.read_text())["epochs"]]
        found.append(max(documents, key=lambda figures: float(figures["tile_auroc"])))
    return found


def _glass_edge(*arguments: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "glass_edge.cli", *arguments]
    done = subprocess.run(command, cwd=_REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def cell(values: list[float | None]) -> str:
    """Mean and standard deviation."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = statistics.stdev(known) if len(known) > 1 else 0.0
    return f"{statistics.mean(known):.3f} ± {spread:.3f}"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="labelled folders, a fabric each")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--textures", type=Path, help="folder of textures; without it those variants are left out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    options = parser.parse_args()
    names = [
        name
        for name in options.only
        if options.textures or all(TEXTURES not in table.values() for table in VARIANTS[name].values())
    ]
    textures = options.textures.resolve() if options.textures else None
    runs = [(name, data.resolve(), seed) for seed in range(options.seeds) for name in names for data in options.data]

    def one(run: tuple[str, Path, int]) -> list[dict[str, Any]]:
        name, data, seed = run
        folder = options.out.resolve() / data.name / name.replace(" ", "-").replace(",", "") / str(seed)
        text = recipe_text(data, seed, options.epochs, VARIANTS[name], textures)
        found = run_one(folder, text, all_epochs=name == CHOSEN)
        print(f"{data.name} {name} seed {seed}: tile AUROC {found[0]['tile_auroc']:.4f}", file=sys.stderr, flush=True)
        return found

    with ThreadPoolExecutor(options.jobs) as pool:
        results = dict(zip(runs, pool.map(one, runs), strict=True))
    for data in options.data:
        print(f"\n{data.name}, {options.epochs} epochs, {options.seeds} seeds: mean ± standard deviation\n")
        print("| variant | tile AUROC | tile AP | region recall | false alarms a good strip |")
        print("| --- | --- | --- | --- | --- |")
        for name in names:
            found = [results[name, data.resolve(), seed] for seed in range(options.seeds)]
            for row, figures in zip((name, BY_LABELS), zip(*found, strict=True), strict=False):
                print(f"| {row} | " + " | ".join(cell([one[key] for one in figures]) for key in FIGURES) + " |")


if __name__ == "__main__":
    main()
