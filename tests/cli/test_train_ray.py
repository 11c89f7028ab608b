"""`glass-edge train --ray` on a cluster of two workers, each a process of its own on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_styles import tiny_style

from glass_edge.cli.main import run

pytest.importorskip("ray", reason="the extra 'ray' is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
EPOCHS = 30
RAY = Path(sys.executable).with_name("ray")
_ENVIRONMENT = {
    **os.environ,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_raylet_start_wait_time_s": "300",  # a busy machine
    "RAY_worker_register_timeout_seconds": "300",
}
_PATIENCE_S = 600


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(
    is_so: Callable[[], bool], what: str, process: subprocess.Popen[bytes], seconds: float = _PATIENCE_S
) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, f"the process ended before {what}"
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)


@contextmanager
def ray_node(log: Path, *arguments: str) -> Iterator[None]:
    """One machine of a cluster with a single core."""
    with log.open("wb") as stream:
        command = [RAY, "start", "--block", "--num-cpus", "1", "--object-store-memory", "80000000", *arguments]
        with subprocess.Popen(command, stdout=stream, stderr=stream, env=_ENVIRONMENT) as process:
            try:
                wait_for(lambda: "Ray runtime started" in log.read_text(), "Ray has started", process)
                yield
            finally:
                process.terminate()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster of two."""
    logs = tmp_path_factory.mktemp("ray")
    address = f"127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    client = str(free_port())
    with (
        tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as short,  # sockets have short names
        ray_node(
            logs / "head", "--head", "--port", port, "--ray-client-server-port", client, "--include-dashboard", "false",
            "--temp-dir", short,
        ),
        ray_node(logs / "worker", "--address", address),
    ):  # fmt: skip
        yield address


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for seed, style in enumerate(("satin", "twill")):
        tiny_style(tmp_path, style, seed=seed, epochs=EPOCHS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def training(place: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
    """The command as a process, and what it has said so far."""
    said = place / "said"
    command = [sys.executable, "-m", "glass_edge.cli", "train", "satin.toml", "twill.toml", *arguments]
    with said.open("wb") as errors, (place / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=_ENVIRONMENT)
        try:
            yield process, said.read_text
        finally:
            process.kill()
            process.wait()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = (folder / "checkpoint").glob("weights-*.safetensors")
    return load_file(file)


def require_same(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def epochs(folder: Path) -> int:
    path = folder / "metrics.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


def folder_of(runs: Path, style: str) -> Path:
    (folder,) = runs.glob(f"{style}-*")
    return folder


def test_a_killed_worker_is_replaced_and_its_recipe_goes_on(place: Path, cluster: str) -> None:
    for style in ("satin", "twill"):
        assert run(["train", f"{style}.toml", "--run-folder", f"straight-{style}"]) == 0
    runs = place / "runs"
    with training(place, "--ray", cluster, "--json") as (process, said):
        wait_for(lambda: {"satin", "twill"} <= set(re.findall(r"(\w+): begun on", said())), "both are begun", process)
        victim = re.search(r"satin: begun on .*, process (\d+)", said())
        assert victim is not None
        wait_for(lambda: epochs(folder_of(runs, "satin")) >= 2, "two epochs of satin are kept", process)
        os.kill(int(victim[1]), signal.SIGKILL)
        assert process.wait(_PATIENCE_S) == 0, said()
    assert re.search(r"satin: begun again, for the worker before died, on .*, process \d+", said())
    continued = re.search(r"satin: continuing after epoch (\d+)", said())
    assert continued is not None
    assert 2 <= int(continued[1]) < EPOCHS
    assert "twill: continuing" not in said()
    documents = json.loads((place / "out").read_text())
    assert [(one["style"], one["ending"], one["epochs"]) for one in documents] == [
        ("satin", "done", EPOCHS), ("twill", "done", EPOCHS),
    ]  # fmt: skip
    for style in ("satin", "twill"):
        require_same(place / f"straight-{style}", folder_of(runs, style))


def test_ctrl_c_keeps_every_recipe_and_resume_finishes_them(place: Path, cluster: str) -> None:
    assert run(["train", "twill.toml", "--run-folder", "straight-twill"]) == 0
    runs = place / "elsewhere"
    options = ("--ray", cluster, "--runs-folder", "elsewhere", "--retries", "0")
    with training(place, *options) as (process, said):
        wait_for(
            lambda: runs.exists() and {epochs(one) > 0 for one in runs.glob("*-*")} == {True},
            "an epoch of both is kept",
            process,
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(_PATIENCE_S) == 130, said()
    assert (place / "out").read_text().count("stopped") == 2
    assert epochs(folder_of(runs, "twill")) < EPOCHS
    with training(place, *options, "--resume") as (process, said):
        assert process.wait(_PATIENCE_S) == 0, said()
    assert "twill: continuing after epoch" in said()
    require_same(place / "straight-twill", folder_of(runs, "twill"))
    with training(place, *options, "--resume") as (process, said):
        assert process.wait(_PATIENCE_S) == 0, said()
    assert (place / "out").read_text().count("was finished before") == 2


def test_a_recipe_that_fails_is_named_with_its_machine_and_the_other_is_trained(place: Path, cluster: str) -> None:
    bad = place / "satin" / "02.png"
    bad.write_bytes(bad.read_bytes()[:200])
    with training(place, "--ray", cluster, "--epochs", "1") as (process, said):
        assert process.wait(_PATIENCE_S) == 1, said()
    assert re.search(rf"error: satin: on \S+: {re.escape(str(bad))}: damaged", said())
    assert "begun again" not in said()  # what a person must mend is not tried again
    assert not list((place / "runs").glob("satin-*"))
    assert epochs(folder_of(place / "runs", "twill")) == 1


def test_more_than_any_machine_has_is_refused(place: Path, cluster: str, capsys: pytest.CaptureFixture[str]) -> None:
    with training(place, "--ray", cluster, "--cpus", "2") as (process, said):
        assert process.wait(_PATIENCE_S) == 2, said()
    assert "2 cores and 0 graphics cards a recipe: no machine of the cluster has that" in said()
    assert not (place / "runs").exists() or not list((place / "runs").iterdir())
