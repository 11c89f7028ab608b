"""`glass-edge calibrate`: flat field, scale, the check that both still fit, and the promised threshold.

Promises: each command says in plain steps what to do before and after; a bad reference is refused with the reason (exit
code 2) and nothing is written then; an alarm of `check` is exit code 1.
"""

from __future__ import annotations

import typer

from glass_edge.cli import calibrate_check, calibrate_flat_field, calibrate_scale, calibrate_threshold


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    group = typer.Typer(
        help="Measure flat field, scale and alarm threshold, and check that they still fit.", no_args_is_help=True
    )
    group.command("flat-field")(calibrate_flat_field.flat_field)
    group.command("target")(calibrate_scale.target)
    group.command("scale")(calibrate_scale.scale)
    group.command("learn")(calibrate_check.learn)
    group.command("check")(calibrate_check.check)
    group.command("threshold")(calibrate_threshold.threshold)
    app.add_typer(group, name="calibrate")
