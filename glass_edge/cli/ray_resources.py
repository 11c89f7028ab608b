"""How much of a cluster each recipe gets.

Promises: plain arithmetic on what the machines have; a request that no machine can meet is refused instead of waiting
for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from glass_edge.config.recipe_training import TrainingSettings
from glass_edge.errors import InputError

MOST_CORES = 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine of the cluster offers: processor cores and graphics cards."""

    cpus: int
    gpus: float


@dataclass(frozen=True, slots=True)
class Share:
    """What a recipe gets: processor cores (its threads) and graphics cards (below 1: a part of one)."""

    cpus: int
    gpus: float


def machines_of(nodes: Iterable[dict[str, Any]]) -> list[Machine]:
    """Living machines with a core to give, from `ray.nodes()`."""
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    found = [Machine(int(one.get("CPU", 0)), float(one.get("GPU", 0))) for one in resources]
    return [machine for machine in found if machine.cpus]


def slots(machines: Sequence[Machine], share: Share) -> int:
    """How many recipes run at once."""
    return sum(
        min(one.cpus // share.cpus, int(one.gpus / share.gpus) if share.gpus else one.cpus // share.cpus)
        for one in machines
    )


def share_of(
    training: TrainingSettings,
    machines: Sequence[Machine],
    n_recipes: int,
    *,
    cpus: int | None = None,
    gpus: float | None = None,
) -> Share:
    """What a recipe gets.

    Args:
        training: its threads and its device.
        machines: of the cluster.
        n_recipes: that are to be trained.
        cpus: asked for; None: its threads, and when it leaves them open the most with which as many recipes run at
            once as can.
        gpus: asked for; None: a card where the recipe asks for one, or leaves it open and the cluster has any.

    Raises:
        InputError: no machine has that much.
    """
    if gpus is None:
        may, must = training.device == "auto", training.device == "cuda"
        gpus = 1.0 if must or (may and any(one.gpus >= 1 for one in machines)) else 0.0
    cpus = cpus or training.threads
    if not cpus:
        wanted = min(n_recipes, slots(machines, Share(1, gpus)))
        most = max((one.cpus for one in machines), default=1)
        cpus = max((c for c in range(1, most + 1) if slots(machines, Share(c, gpus)) >= wanted), default=1)
    share = Share(cpus, gpus)
    if not slots(machines, share):
        largest = (
            ", ".join(f"{one.cpus} cores and {one.gpus:g} graphics cards" for one in machines) or "no cores at all"
        )
        raise InputError(
            f"{share.cpus} cores and {share.gpus:g} graphics cards a recipe: no machine of the cluster has that (there "
            f"are {largest}); give less with --cpus or --gpus, or mend training.threads or training.device"
        )
    return share
