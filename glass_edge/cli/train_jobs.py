"""What `glass-edge train` was asked for, as one job a recipe.

Promises: every recipe is read and every contradiction is said before anything is trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glass_edge.config.recipe import Recipe, load_recipe
from glass_edge.errors import InputError
from glass_edge.glass.run_folder import RUNS, default_run_folder, latest_run_folder

_NOTHING_TO_CONTINUE = "trains nothing, so there is nothing to continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Options of the command; None and False: not given."""

    recipes: tuple[Path, ...]
    run_folder: Path | None = None
    runs_folder: Path | None = None
    epochs: int | None = None
    resume: bool = False
    mahalanobis: bool = False
    quick: bool = False
    images: int | None = None
    metres: float | None = None
    engines: Path | None = None
    version: str | None = None
    ray: str | None = None
    cpus: int | None = None
    gpus: float | None = None
    retries: int | None = None

    @property
    def is_closed_form(self) -> bool:
        """Whether the Mahalanobis map is asked for, whatever the recipe says."""
        return self.mahalanobis or self.quick


_FIELDS = tuple(TrainOptions.__dataclass_fields__)
_CLOSED_FORM = "the Mahalanobis map trains nothing; leave one of them out"
_EXCLUSIVE: Mapping[tuple[str, ...], str] = {
    ("run_folder", "runs_folder"): "give one of them",
    ("images", "metres"): "give one of them",
    ("quick", "ray"): "a quick engine is made here, in a minute; leave --ray out",
    ("quick", "epochs"): _CLOSED_FORM,
    ("mahalanobis", "epochs"): _CLOSED_FORM,
    ("quick", "resume"): f"the Mahalanobis map {_NOTHING_TO_CONTINUE}",
    ("mahalanobis", "resume"): f"the Mahalanobis map {_NOTHING_TO_CONTINUE}",
}
_BELONG_TO: Mapping[str, tuple[str, ...]] = {
    "quick": ("images", "metres", "engines", "version"),
    "ray": ("cpus", "gpus", "retries"),
}


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One recipe to train.

    Attributes:
        recipe_file: as given.
        recipe: what it says, with the changes of the command line.
        run_folder: where the run goes.
        resume: continue the run that is there.
    """

    recipe_file: Path
    recipe: Recipe
    run_folder: Path
    resume: bool


def require_consistent(options: TrainOptions) -> None:
    """Refuse options that contradict each other, or values that make no sense.

    Raises:
        InputError: naming the options and what would be right.
    """
    # None and False alone mean "not given": 0 is a number like any other
    given = {name for name in _FIELDS if not any(getattr(options, name) is empty for empty in (None, False))}
    problems = [f"{flag(name)} {getattr(options, name)}: give {right}" for name, right in _wrong_values(options)]
    if "run_folder" in given and len(options.recipes) > 1:
        problems.append("--run-folder: one folder for several recipes; give --runs-folder")
    for pair, remedy in _EXCLUSIVE.items():
        if given.issuperset(pair):
            problems.append(f"{', '.join(map(flag, pair))}: {remedy}")
    for owner, names in _BELONG_TO.items():
        problems += [f"{flag(name)}: only with {flag(owner)}" for name in names if name in given and owner not in given]
    if problems:
        raise InputError("\n".join(problems))


def plan_jobs(options: TrainOptions) -> list[TrainingJob]:
    """One job a recipe.

    With several recipes `resume` finishes what is not finished: a style without a run begins one, and so does one that
    trains nothing.

    Raises:
        InputError: contradictions, a recipe that cannot be used, two recipes of one style.
    """
    require_consistent(options)
    recipes = [(path, changed(load_recipe(path), options)) for path in options.recipes]
    styles: dict[str, Path] = {}
    for path, recipe in recipes:
        if options.resume and recipe.method == "mahalanobis" and len(recipes) == 1:
            raise InputError(f"--resume: {path}: the method 'mahalanobis' {_NOTHING_TO_CONTINUE}")
        if recipe.style in styles:
            raise InputError(
                f"{path}: style '{recipe.style}', as in {styles[recipe.style]}; give each recipe a style of its own, "
                "or train them one after the other with --run-folder"
            )
        styles[recipe.style] = path
    return [_job(path, recipe, options) for path, recipe in recipes]


def changed(recipe: Recipe, options: TrainOptions) -> Recipe:
    """The recipe with the changes of the command line."""
    update: dict[str, Any] = {}
    if options.epochs is not None:
        update["epochs"] = options.epochs
    if options.is_closed_form:
        update["method"] = "mahalanobis"
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=update)}) if update else recipe


def flag(name: str) -> str:
    """Name of an option on the command line."""
    return f"--{name.replace('_', '-')}"


def _job(path: Path, recipe: Recipe, options: TrainOptions) -> TrainingJob:
    runs = options.runs_folder or RUNS
    if options.run_folder is not None:
        return TrainingJob(path, recipe, options.run_folder, options.resume)
    if options.resume:
        try:
            return TrainingJob(path, recipe, latest_run_folder(recipe.style, runs), resume=True)
        except InputError:
            if len(options.recipes) == 1:
                raise
    return TrainingJob(path, recipe, default_run_folder(recipe.style, runs), resume=False)


def _wrong_values(options: TrainOptions) -> list[tuple[str, str]]:
    """Names of options whose number makes no sense, and what would be right."""
    limits: dict[str, tuple[bool, str]] = {
        "epochs": (1 <= (options.epochs or 0) <= 100_000, "a number from 1 to 100000"),
        "images": ((options.images or 0) >= 2, "at least 2: whole images are held out for the threshold"),
        "metres": (0 < (options.metres or 0) < math.inf, "a length above 0"),
        "cpus": ((options.cpus or 0) >= 1, "at least 1"),
        "gpus": (_is_share(options.gpus or 0), "a share below 1, or a whole number up to 64"),
        "retries": (0 <= (options.retries or 0) <= 100, "a number from 0 to 100"),
    }
    return [
        (name, right)
        for name, (is_right, right) in limits.items()
        if getattr(options, name) is not None and not is_right
    ]


def _is_share(gpus: float) -> bool:
    return 0 <= gpus <= 64 and (gpus < 1 or gpus == int(gpus))
