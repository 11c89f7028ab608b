"""Several recipes on this machine, one after the other.

Promises: a recipe that fails is named and does not keep the others from being trained; a request to stop ends the
recipe at hand as it would alone, and the ones behind it are not begun.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glass_edge.cli.train_jobs import TrainingJob
from glass_edge.cli.train_result import Ending, Outcome, outcome_of
from glass_edge.cli.training_progress import TrainingProgress
from glass_edge.cli.training_run import is_finished, train
from glass_edge.errors import GlassEdgeError

Do = Callable[[TrainingJob, TrainingProgress], Outcome]


def train_in_turn(jobs: Sequence[TrainingJob], progress: TrainingProgress, do: Do) -> list[Outcome]:
    """Train all recipes.

    Args:
        jobs: what to train.
        progress: shows what happens.
        do: trains one.

    Returns:
        What became of each, in order.
    """
    outcomes: list[Outcome] = []
    for number, job in enumerate(jobs, start=1):
        style = job.recipe.style
        if any(one.ending == "stopped" for one in outcomes):
            outcomes.append(without_report(job, "not begun"))
            continue
        progress.say(f"{style}, {number} of {len(jobs)}: {job.run_folder}")
        for warning in job.recipe.warnings():
            progress.say(f"warning: {style}: {warning}")
        try:
            outcomes.append(do(job, progress))
        except GlassEdgeError as error:
            progress.say(f"{style} failed")
            outcomes.append(without_report(job, "failed", str(error)))
    return outcomes


def train_one(job: TrainingJob, progress: TrainingProgress) -> Outcome:
    """Train one of several recipes; one that is to be continued and has come to its end is left alone.

    Raises:
        GlassEdgeError: it failed.
    """
    if job.resume and is_finished(job.run_folder, job.recipe):
        return without_report(job, "done", "was finished before")
    report = train(job.recipe_file, job.recipe, job.run_folder, progress, resume=job.resume)
    return outcome_of(report, job)


def without_report(job: TrainingJob, ending: Ending, text: str = "", machine: str = "") -> Outcome:
    """What became of a recipe that was not trained to an end here."""
    document = {"run_folder": str(job.run_folder), "method": job.recipe.method}
    return Outcome(job.recipe.style, ending, document, text, machine)
