"""`glass-edge calibrate flat-field`: even out lamp, lens and pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

STEPS = """To measure a flat field:
  1. Warm the lamp up for 20 minutes. Set aperture, focus, line rate and exposure as for the cloth, and leave them.
  2. Lay a clean, matt white board over the camera's whole line, at the cloth's distance, wider than the line.
  3. Set exposure or gain until the brightest columns are near 210 (never above 245).
  4. Record 500 lines or more while you move the board slowly: what moves with it is averaged out.
  5. Cover the lens, record 200 lines more: the dark frames. Uncover it.
  6. glass-edge calibrate flat-field WHITE.png --dark DARK.png --out calibration/CAMERA.flat.npz
"""


def flat_field(  # noqa: PLR0917 - typer makes options of them, none is positional
    white: Annotated[
        list[Path] | None, typer.Argument(help="Pictures of the white board, or a folder; without: the steps.")
    ] = None,
    dark: Annotated[
        list[Path] | None, typer.Option(help="Picture without light; may be given several times. Default: dark is 0.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Profile to write, NAME.npz.")] = None,
    width_px: Annotated[int | None, typer.Option(help="Pixels of the camera's line, to refuse other pictures.")] = None,
    target_grey: Annotated[
        float | None, typer.Option(help="Grey value of the board after correction, 1 to 255. Default: its brightest.")
    ] = None,
    most_dirt: Annotated[float, typer.Option(help="Largest step of a column that is accepted, 0.06 for 6 %.")] = 0.06,
    camera_model: Annotated[str, typer.Option(help="Model of the camera; the station refuses another.")] = "",
    camera_serial: Annotated[str, typer.Option(help="Its serial number; the station refuses another.")] = "",
    full_scale_16bit: Annotated[int | None, typer.Option(help="Value of 16-bit pictures that becomes 255.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing profile.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False,
) -> None:
    """Measure the flat field of a camera from pictures of a white board."""
    from dataclasses import replace

    from glass_edge.calibration.flat_reference import ReferenceLimits, measure_flat_field, residual
    from glass_edge.cli import calibrate_files as files
    from glass_edge.errors import InputError
    from glass_edge.files import write_bytes

    if not white:
        typer.echo(STEPS, nl=False)
        return
    if out is None:
        raise InputError("--out is missing; give the profile to write, such as calibration/camera1.flat.npz")
    if target_grey is not None and not 1 <= target_grey <= 255:
        raise InputError(f"--target-grey {target_grey:g} is impossible; give 1 to 255")
    if not 0 < most_dirt < 1:
        raise InputError(f"--most-dirt {most_dirt:g} is impossible; give a share such as 0.06")
    files.new_file(out, ".npz", force=force)
    picture = files.new_file(out.with_suffix(".before-after.png"), ".png", force=force, inputs=[*white, *(dark or ())])
    pictures = files.read_pictures(white, full_scale_16bit)
    black = files.read_pictures(dark, full_scale_16bit) if dark else {}
    lines = np.concatenate(list(pictures.values()))
    measured = measure_flat_field(
        lines,
        np.concatenate(list(black.values())) if black else None,
        limits=ReferenceLimits(width_px=width_px, dirt=most_dirt),
        target_grey=target_grey,
    )
    profile = replace(
        measured,
        camera_model=camera_model,
        camera_serial=camera_serial,
        created_utc=files.now_utc(),
        references=files.hashes([*pictures, *black]),
    )
    after = profile.apply(lines)
    shown = files.before_after_png(lines, after)
    uneven = residual(lines), residual(after)
    profile.save(out)
    write_bytes(picture, shown)
    if as_json:
        document = {
            "profile": str(out),
            "picture": str(picture),
            "width_px": profile.width_px,
            "channels": profile.channels,
            "target_grey": profile.target_grey,
            "largest_gain": float(profile.gain.max()),
            "uneven_before": uneven[0],
            "uneven_after": uneven[1],
            "sha256": profile.sha256,
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(
        f"{out}: {profile.width_px} px, {'grey' if profile.channels == 1 else 'RGB'}, gains {profile.gain.min():.2f} "
        f"to {profile.gain.max():.2f}, the board becomes grey value {profile.target_grey:.0f}"
    )
    typer.echo(f"columns differ by {100 * uneven[0]:.2f} % before and {100 * uneven[1]:.2f} % after; see {picture}")
    if not black:
        typer.echo("no dark frames were given: dark is taken to be 0; give some with --dark for dark cloth")
    typer.echo(f'next: look at the picture, and put flat_field = "{out}" into [camera] of the station file')
