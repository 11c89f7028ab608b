"""`glass-edge calibrate target | scale`: millimetres of a camera's pixels."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from glass_edge.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glass_edge.calibration.line_scale import LineScale
    from glass_edge.calibration.target import Target

STEPS = """To measure the scale:
  1. glass-edge calibrate target calibration/target --width-mm 275 --pitch-mm 5
     As wide as the camera's line, if you can, half of it at least; 20 to 50 px of the camera a pitch.
  2. Print calibration/target.pdf at 100 % ("actual size"), or let a print shop plot it on film or board.
  3. Measure the print with a steel rule: first to last bar, first to last line, middle to middle.
  4. Lay it flat and straight on the cloth, bars along the web, and take one picture while the web carries all of it
     through the line, lines triggered by the encoder as in production. Several cameras: all take it in one pass.
  5. glass-edge calibrate scale PICTURE.png --target calibration/target.json --printed-across-mm 269.6 \\
       --printed-along-mm 100.1 --out calibration/CAMERA.scale.json
"""
_CORRECTED_LINES = 1024


def target(
    name: Annotated[Path, typer.Argument(help="Name of the files: NAME.pdf, NAME.svg and NAME.json are written.")],
    *,
    width_mm: Annotated[float, typer.Option(help="Length of the code, along the camera's line.")] = 275.0,
    pitch_mm: Annotated[float, typer.Option(help="Distance of the bars: 20 to 50 px of the camera.")] = 5.0,
    lines: Annotated[int, typer.Option(help="Lines of the ladder along the web, odd.")] = 21,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Write the printable target as PDF and SVG, with its description."""
    from glass_edge.calibration.target import make_target
    from glass_edge.calibration.target_print import to_pdf, to_svg
    from glass_edge.cli.calibrate_files import new_file
    from glass_edge.files import write_bytes

    made = make_target(width_mm, pitch_mm, ladder_lines=lines)
    paths = [new_file(name.with_name(name.name + suffix), suffix, force=force) for suffix in (".pdf", ".svg", ".json")]
    try:
        pdf = to_pdf(made)
    except ValueError as error:
        raise InputError(f"{error}; make it shorter, or of fewer --lines") from error
    write_bytes(paths[0], pdf)
    write_bytes(paths[1], to_svg(made).encode())
    made.save(paths[2])
    wide, high = made.page_mm
    typer.echo(f"{paths[0]}, {paths[1]}: a page of {wide:g} x {high:g} mm; print it at 100 %")
    typer.echo(
        f"then measure it, middle to middle: first to last bar {made.code_length_mm:g} mm, first to last line "
        f"{made.ladder_length_mm:g} mm"
    )
    typer.echo(f"next: glass-edge calibrate scale PICTURE --target {paths[2]}")


def scale(  # noqa: PLR0917 - typer makes options of them, none is positional
    image: Annotated[Path | None, typer.Argument(help="Picture of the target; without: the steps.")] = None,
    target: Annotated[Path | None, typer.Option(help="The .json of the target that was printed.")] = None,
    out: Annotated[Path | None, typer.Option(help="Scale to write, NAME.json.")] = None,
    printed_across_mm: Annotated[
        float | None, typer.Option(help="Measured on the print: first to last bar. Default: as designed.")
    ] = None,
    printed_along_mm: Annotated[
        float | None, typer.Option(help="Measured on the print: first to last line. Default: as designed.")
    ] = None,
    camera_model: Annotated[str, typer.Option(help="Model of the camera.")] = "",
    camera_serial: Annotated[str, typer.Option(help="Its serial number.")] = "",
    full_scale_16bit: Annotated[int | None, typer.Option(help="Value of a 16-bit picture that becomes 255.")] = None,
    beside: Annotated[
        list[Path] | None, typer.Option(help="Scale of another camera from the same pass: tells the overlap.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False,
) -> None:
    """Measure mm a pixel, mm a line and the lens's distortion from a picture of the target."""
    from glass_edge.calibration.line_scale import load_scale
    from glass_edge.calibration.scale_fit import measure_scale
    from glass_edge.calibration.target import load_target
    from glass_edge.calibration.web_map import place_cameras
    from glass_edge.cli import calibrate_files as files
    from glass_edge.files import write_bytes

    if image is None:
        typer.echo(STEPS, nl=False)
        return
    if target is None or out is None:
        raise InputError("give the target's description with --target NAME.json and the file to write with --out")
    files.new_file(out, ".json", force=force, inputs=[target, *(beside or ())])
    picture = files.new_file(out.with_suffix(".before-after.png"), ".png", force=force, inputs=[image])
    printed = _as_printed(load_target(target), printed_across_mm, printed_along_mm)
    others = {path.name: load_scale(path) for path in beside or ()}
    pictures = files.read_pictures([image], full_scale_16bit)
    if len(pictures) != 1:
        raise InputError(f"{image}: {len(pictures)} pictures; give the one that shows the whole target")
    lines = next(iter(pictures.values()))
    found = measure_scale(
        lines,
        printed,
        camera_model=camera_model,
        camera_serial=camera_serial,
        created_utc=files.now_utc(),
        references=files.hashes([*pictures, target]),
    )
    cameras = place_cameras({out.name: found} | others)
    shown = files.before_after_png(lines[:_CORRECTED_LINES], straightened(lines[:_CORRECTED_LINES], found), grid=True)
    found.save(out)
    write_bytes(picture, shown)
    if as_json:
        places = [
            {"name": one.name, "first_px": one.first_px, "end_px": one.end_px, "overlap_right_mm": one.overlap_right_mm}
            for one in cameras
        ]
        document = {"profile": str(out), "picture": str(picture), **found.model_dump(mode="json"), "cameras": places}
        typer.echo(json.dumps(document, indent=2))
        return
    _print(found, out, picture)
    for left, right in pairwise(cameras):
        typer.echo(
            f"{left.name} and {right.name} overlap by {left.overlap_right_mm:.2f} mm: {left.name} up to column "
            f"{left.end_px}, {right.name} from column {right.first_px}"
        )
    typer.echo(
        f"next: mm_per_px = {found.mm_per_px:.6f} and mm_per_line = {found.mm_per_line:.6f} into [web], and this "
        "file's path as scale_file"
    )


def straightened(lines: NDArray[np.uint8], found: LineScale) -> NDArray[np.uint8]:
    """Lines as a lens without distortion would show them, uint8 of the same shape."""
    import cv2

    width = found.width_px
    even = found.across_mm(width / 2) + (np.arange(width) + 0.5 - width / 2) * found.mm_per_px
    columns = (found.column_px(even) - 0.5).astype(np.float32)
    x = np.broadcast_to(columns, lines.shape[:2])
    y = np.broadcast_to(np.arange(len(lines), dtype=np.float32)[:, None], lines.shape[:2])
    moved = cv2.remap(lines, np.ascontiguousarray(x), np.ascontiguousarray(y), cv2.INTER_LINEAR)
    return np.asarray(moved, dtype=np.uint8)


def _as_printed(made: Target, across_mm: float | None, along_mm: float | None) -> Target:
    changes = {}
    for key, option, measured, nominal in (
        ("stretch_across", "--printed-across-mm", across_mm, made.code_length_mm),
        ("stretch_along", "--printed-along-mm", along_mm, made.ladder_length_mm),
    ):
        if measured is None:
            continue
        if not 0.9 * nominal <= measured <= 1.1 * nominal:
            raise InputError(
                f"{option} {measured:g} is far from the {nominal:g} mm of this target; measure from middle to middle "
                "of the first and the last, and give the .json of this very print"
            )
        changes[key] = measured / nominal
    return made.model_copy(update=changes)


def _print(found: LineScale, out: Path, picture: Path) -> None:
    middle, ends = found.local_mm_per_px(found.width_px / 2), found.local_mm_per_px([0, found.width_px])
    columns = np.arange(found.width_px + 1)
    bent = float(np.abs(found.corrected_px(columns) - columns).max())
    typer.echo(
        f"{out}: {found.mm_per_px:.6f} mm a px across ({float(ends[0]):.6f} left, {float(middle):.6f} middle, "
        f"{float(ends[1]):.6f} right), {found.mm_per_line:.6f} mm a line along"
    )
    typer.echo(
        f"{found.bars} bars fit within {found.residual_rms_px:.3f} px ({found.residual_max_px:.3f} at most), the "
        f"ladder within {found.residual_along_rms_px:.3f} lines; the lens moves columns by up to {bent:.1f} px; "
        f"see {picture}"
    )
    typer.echo(
        f"the target lay {found.rotation_deg:+.2f} degrees turned (taken out), the web runs {found.skew_deg:+.2f} "
        f"degrees off the perpendicular of the line{', and bars count down with the columns' if found.mirrored else ''}"
    )
    measured = (found.last_px - found.first_px) / found.width_px
    if measured < 0.9:
        typer.echo(
            f"the target covered {100 * measured:.0f} % of the line; beyond it the map goes on straight: print a "
            "longer one for the best result"
        )
