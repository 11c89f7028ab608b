"""`glass-edge build --engine tensorrt-rtx`: typed graphs in the bundle, plans in a cache folder, without a GPU."""

from __future__ import annotations

import ctypes.util
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from test_cli_build import mill, run  # noqa: F401 - a fixture

from glass_edge.engine.bundle import load_bundle
from glass_edge.engine.gpu_probe import GpuUnavailableError
from glass_edge.engine.tensorrt_open import GRAPHS
from glass_edge.errors import InputError

HAS_RTX = importlib.util.find_spec("tensorrt_rtx") is not None


def test_typed_graphs_are_part_of_the_bundle(mill: Path, tmp_path: Path) -> None:  # noqa: F811
    out, steps = run(str(mill / "run"), "--out", str(tmp_path), "--version", "1", "--engine", "tensorrt", "--json")
    bundle = load_bundle(tmp_path / "weave")
    assert {GRAPHS["f32"], GRAPHS["fp16"]} <= set(json.loads(out)["files"])
    assert GRAPHS["int8"] not in bundle.manifest.files
    assert "typing graphs for TensorRT" in steps
    for precision in ("f32", "fp16"):
        graph = onnx.load_from_string(bundle.read(GRAPHS[precision])).graph
        assert graph.node[0].op_type == "Cast"
        halves = [one for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT16]
        assert bool(halves) == (precision == "fp16")


@pytest.mark.skipif(not HAS_RTX, reason="tensorrt-rtx is not installed (wheels for Python 3.11 to 3.13, x86-64)")
def test_plans_lie_where_a_station_looks_for_them(mill: Path, tmp_path: Path) -> None:  # noqa: F811
    cache = tmp_path / "cache"
    command = [sys.executable, "-W", "ignore", "-m", "glass_edge.cli", "build", str(mill / "run")]
    command += ["--out", str(tmp_path / "engines"), "--version", "2", "--engine", "tensorrt-rtx", "--json"]
    command += ["--precision", "f32", "--plans", str(cache), "--max-batch", "4"]
    command += ["--compute-capability", "8.6", "--compute-capability", "SM120"]
    # a process of its own: a library that ends its process ends only this one
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 0, done.stderr[-2000:]
    plans = json.loads(done.stdout)["plans"]
    assert len(set(plans)) == 4
    assert "compiling fp16 for SM120" in done.stderr
    bundle = load_bundle(tmp_path / "engines" / "weave")
    assert not [name for name in bundle.manifest.files if name.endswith(".blob")]
    ask = (
        "import sys, json; from pathlib import Path\n"
        "from glass_edge.engine.bundle import load_bundle\n"
        "from glass_edge.engine.gpu_probe import GpuFacts\n"
        "from glass_edge.engine.tensorrt_api import load_api\n"
        "from glass_edge.engine.tensorrt_cache import PlanCache, plan_key\n"
        "from glass_edge.engine.tensorrt_open import GRAPHS, plan_options\n"
        "api, bundle = load_api('tensorrt-rtx'), load_bundle(Path(sys.argv[1]))\n"
        "gpu = GpuFacts(0, 'NVIDIA RTX A2000', (8, 6), 13000, '580')\n"
        "key = plan_key(api, bundle.read(GRAPHS['fp16']), tile=bundle.manifest.tile, precision='fp16',\n"
        "               options=plan_options(4, (gpu.sm,)), gpu=gpu)\n"
        "print(len(PlanCache(Path(sys.argv[2])).load(key) or b''))\n"
    )
    station = [sys.executable, "-W", "ignore", "-c", ask, str(bundle.folder), str(cache)]
    found = subprocess.run(station, capture_output=True, text=True, check=True)
    assert int(found.stdout.split()[-1]) > 10_000


def test_wrong_options_are_told_before_anything_is_built(mill: Path, tmp_path: Path) -> None:  # noqa: F811
    cases = [
        (["--engine", "cuda"], "--engine cuda: give openvino, tensorrt or tensorrt-rtx"),
        (["--engine", "tensorrt-rtx", "--compute-capability", "8.6"], "are of plans; give --plans FOLDER"),
        (["--plans", str(tmp_path)], "give --engine tensorrt or --engine tensorrt-rtx"),
    ]
    if HAS_RTX:
        rtx = ["--engine", "tensorrt-rtx", "--plans", str(tmp_path), "--compute-capability"]
        cases.append(([*rtx, "6.1"], "compute capability '6.1': tensorrt-rtx"))
        cases.append(([*rtx, "8.6", "--max-batch", "0"], "--max-batch 0: at least one tile is needed"))
    for options, message in cases:
        with pytest.raises(InputError) as caught:
            run(str(mill / "run"), "--out", str(tmp_path / "engines"), *options)
        assert message in str(caught.value)
    if ctypes.util.find_library("cuda") is None:
        with pytest.raises(GpuUnavailableError, match="no NVIDIA driver"):
            run(str(mill / "run"), "--out", str(tmp_path), "--engine", "tensorrt", "--plans", str(tmp_path / "cache"))
    assert not (tmp_path / "engines").exists()
