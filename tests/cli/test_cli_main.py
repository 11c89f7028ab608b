"""Exit codes of the program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
import typer

from glass_edge import __version__
from glass_edge.cli import main
from glass_edge.errors import GlassEdgeError, InputError


def _raising(error: BaseException) -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (
            InputError("a.toml: key 'x' is wrong\nand so is 'y'"),
            2,
            "error: a.toml: key 'x' is wrong\nerror: and so is 'y'",
        ),
        (GlassEdgeError("the camera is gone"), 1, "error: the camera is gone"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (typer.Abort(), 130, "interrupted"),
        (typer.BadParameter("no such thing"), 2, "no such thing"),
        (typer.Exit(7), 7, ""),
    ],
)
def test_each_error_has_its_exit_code_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    shown: str,
) -> None:
    monkeypatch.setattr(main, "app", _raising(error))
    monkeypatch.delenv("GLASS_EDGE_TRACEBACK", raising=False)
    assert main.run([]) == code
    captured = capsys.readouterr()
    assert shown in captured.err
    assert "Traceback" not in captured.err
    assert not captured.out


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "app", _raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main.run([])
    monkeypatch.setenv("GLASS_EDGE_TRACEBACK", "1")
    monkeypatch.setattr(main, "app", _raising(InputError("seen with its traceback")))
    with pytest.raises(InputError):
        main.run([])


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["replay"], ["replay", "--nonsense", "x"], ["events", "tail", "--limit", "many"], ["run"]],
)
def test_wrong_usage_is_2_with_a_word_of_help(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run(arguments) == 2
    assert "Try '" in capfd.readouterr().err


def test_version_and_help_are_0(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capfd.readouterr().out.strip() == __version__
    assert main.run(["--help"]) == 0
    listed = capfd.readouterr().out
    for command in (
        "demo",
        "run",
        "replay",
        "train",
        "evaluate",
        "build",
        "import-reference",
        "bench",
        "bundle",
        "events",
        "config",
        "simulate",
    ):
        assert command in listed


def test_ctrl_c_is_130() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "glass_edge.cli", "events", "tail", "--endpoint", f"ipc:///tmp/nobody-{os.getpid()}",
         "--request", f"ipc:///tmp/nobody-{os.getpid()}r"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert "nothing heard" in process.stderr.readline()  # it is following
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert "interrupted" in process.stderr.read()


def test_the_run_time_commands_import_neither_torch_nor_the_engine_when_only_help_is_wanted() -> None:
    code = (
        "import sys, glass_edge.cli.main; print(sorted({'torch', 'timm', 'openvino', 'zmq', 'cv2'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "[]"


def test_commands_register_themselves() -> None:
    registered: Callable[[typer.Typer], None] = main.bench.register
    app = typer.Typer()
    registered(app)
    assert [command.name for command in app.registered_commands] == ["bench"]
