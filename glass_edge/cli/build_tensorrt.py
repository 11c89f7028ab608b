"""What `glass-edge build --engine tensorrt...` adds: graphs with the types TensorRT computes in, and plans.

Promises: the graphs go into the bundle, which says by hash what is compiled; plans never do: they hold machine code and
are written to a cache folder, under the key by which a station looks for them. No plan is judged here: the station's
parity gate does that, on its own GPU, before it inspects.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from glass_edge.engine.bundle import Bundle
from glass_edge.engine.gpu_probe import probe_gpu
from glass_edge.engine.tensorrt_api import TensorRtName, builds_ahead, capabilities, load_api
from glass_edge.engine.tensorrt_cache import PlanCache, load_or_build, plan_key
from glass_edge.engine.tensorrt_open import GRAPHS, plan_options, tensorrt_candidates
from glass_edge.engine.tensorrt_progress import Progress as Told
from glass_edge.errors import InputError
from glass_edge.glass.onnx_half import to_half
from glass_edge.glass.onnx_inputs import to_float
from glass_edge.glass.onnx_int8 import to_int8


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Plans to compile.

    Attributes:
        runtime: the library.
        folder: the cache folder of the stations they are for.
        compute_capabilities: GPUs, as 'SM86' or '8.6'; empty: the one of this machine.
        max_batch: `engine.max_batch` of the stations.
    """

    runtime: TensorRtName
    folder: Path
    compute_capabilities: tuple[str, ...]
    max_batch: int


def typed_graphs(model: bytes, good_tiles: NDArray[np.uint8], *, with_int8: bool) -> dict[str, bytes]:
    """Files of a bundle by name.

    Args:
        model: graph of `export_onnx`.
        good_tiles: uint8 (n, height, width, channels), for the ranges of int8.
        with_int8: make the int8 graph too.
    """
    graphs = {GRAPHS["f32"]: to_float(model), GRAPHS["fp16"]: to_half(model)}
    if with_int8:
        graphs[GRAPHS["int8"]] = to_int8(model, good_tiles)
    return graphs


def check_request(request: PlanRequest) -> None:
    """Find out before anything is built whether the plans can be.

    Raises:
        InputError: GPU, library, compute capability or batch will not do.
    """
    if request.max_batch < 1:
        raise InputError(f"--max-batch {request.max_batch}: at least one tile is needed")
    if request.runtime == "tensorrt" or not request.compute_capabilities:
        probe_gpu()  # before the library is loaded
    capabilities(load_api(request.runtime), request.compute_capabilities)


def build_plans(bundle: Bundle, request: PlanRequest) -> list[Path]:
    """Compile every typed graph of `bundle` for every GPU asked for; returns the plans' files.

    Raises:
        InputError: a graph cannot be parsed, or the folder cannot be written. EngineError: the library gives no plan.
    """
    api = load_api(request.runtime)
    cache = PlanCache(request.folder)
    tile = bundle.manifest.tile
    targets: list[str] = [f"SM{one.removeprefix('SM').replace('.', '')}" for one in request.compute_capabilities]
    gpu = None
    if not targets:
        gpu = probe_gpu()
        targets = [gpu.sm]
    files = []
    for precision in tensorrt_candidates(bundle.manifest, request.runtime):
        model = bundle.read(GRAPHS[precision])
        for target in targets:
            options = plan_options(request.max_batch, (target,) if builds_ahead(api) else ())
            with _progress(f"{precision} for {target}") as told:
                name = str(bundle.folder / GRAPHS[precision])
                load_or_build(
                    cache,
                    api,
                    model,
                    tile=tile,
                    precision=precision,
                    options=options,
                    gpu=gpu,
                    name=name,
                    progress=told,
                )
            files.append(cache.path(plan_key(api, model, tile=tile, precision=precision, options=options, gpu=gpu)))
    return files


@contextmanager
def _progress(what: str) -> Iterator[Told]:
    """A bar on a terminal, a line otherwise; standard error both."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console.print(f"compiling {what}")
        yield lambda phase, share: None
        return
    columns = (TextColumn("compiling {task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TextColumn("{task.fields[phase]}"), console=console, transient=True) as bar:
        task = bar.add_task(what, total=1.0, phase="")
        yield lambda phase, share: bar.update(task, completed=share, phase=phase)
