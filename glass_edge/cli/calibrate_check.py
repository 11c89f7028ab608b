"""`glass-edge calibrate learn | check`: how a style looks when all is well, and whether it still does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glass_edge.errors import InputError

if TYPE_CHECKING:
    from glass_edge.calibration.cloth_look import Seen
    from glass_edge.calibration.fit_check import Finding
    from glass_edge.calibration.line_scale import LineScale
    from glass_edge.config.fit_check import CheckLimits

_Images = Annotated[
    list[Path],
    typer.Argument(help="Pictures of cloth, 128 lines or more, folders of them, or a recording of 'run --record'."),
]
_Flat = Annotated[
    Path | None, typer.Option(help="Flat field to apply first; what a recording's lines were corrected with already.")
]
_Scale = Annotated[Path | None, typer.Option(help="Scale of the camera: adds the cloth's width in mm.")]
_FullScale = Annotated[int | None, typer.Option(help="Value of 16-bit pictures that becomes 255.")]
_Json = Annotated[bool, typer.Option("--json", help="Machine output on stdout.")]


def learn(
    images: _Images,
    *,
    out: Annotated[Path, typer.Option(help="Look of the style to write, NAME.json.")],
    style: Annotated[str, typer.Option(help="Name of the style.")] = "",
    flat_field: _Flat = None,
    full_scale_16bit: _FullScale = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: _Json = False,
) -> None:
    """Measure focus, brightness, shading and yarn pitch of good cloth, to check against later."""
    from glass_edge.calibration.cloth_look import learn_look
    from glass_edge.cli import calibrate_files as files

    files.new_file(out, ".json", force=force)
    seen, width, flat_sha256, paths = _measure(images, flat_field, full_scale_16bit)
    look = learn_look(seen, width, style=style, flat_field_sha256=flat_sha256, created_utc=files.now_utc())
    look = look.model_copy(update={"references": files.hashes(paths)})
    look.save(out)
    if as_json:
        typer.echo(json.dumps({"profile": str(out), **look.model_dump(mode="json")}, indent=2))
        return
    along = "none seen" if look.pitch_along_lines is None else f"{look.pitch_along_lines:.2f} lines"
    across = "none seen" if look.pitch_across_px is None else f"{look.pitch_across_px:.2f} px"
    typer.echo(
        f"{out}: {len(seen)} pictures, mean grey {look.mean_grey:.0f}; the weave repeats every {across} across and "
        f"{along} along (the pictures differ by {100 * look.spread_across:.1f} % and {100 * look.spread_along:.1f} %)"
    )
    unseen = [
        name for name, pitch in (("along", look.pitch_along_lines), ("across", look.pitch_across_px)) if pitch is None
    ]
    if unseen:
        typer.echo(f"no weave is seen {' and '.join(unseen)}: the scale {' and '.join(unseen)} cannot be checked")
    typer.echo(f"next: glass-edge calibrate check {out} PICTURES... after each shift, change of style or repair")


def check(
    profile: Annotated[Path, typer.Argument(help="Look of the style, written by `calibrate learn`.")],
    images: _Images,
    *,
    flat_field: _Flat = None,
    scale: _Scale = None,
    full_scale_16bit: _FullScale = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Another limit, such as scale_along=0.15; may be given again."),
    ] = None,
    as_json: _Json = False,
) -> int:
    """Raise named alarms where pictures do not fit the calibration; exit code 1 when there is one."""
    from glass_edge.calibration.cloth_look import load_look
    from glass_edge.calibration.fit_check import check_fit
    from glass_edge.calibration.line_scale import load_scale

    limits = _limits(limit or [])
    look = load_look(profile)
    camera = None if scale is None else load_scale(scale)
    seen, width, flat_sha256, _ = _measure(images, flat_field, full_scale_16bit)
    if width != look.width_px or (camera is not None and camera.width_px != width):
        known = look.width_px if width != look.width_px or camera is None else camera.width_px
        raise InputError(f"the pictures are {width} px wide and the profile is of {known} px; give those of its camera")
    if flat_sha256 != look.flat_field_sha256:
        how = "without a" if not look.flat_field_sha256 else "with another" if flat_sha256 else "with a"
        raise InputError(
            f"{profile}: learnt {how} flat field; give the same with --flat-field (or leave it out), or learn it again"
        )
    results = [(name, one, check_fit(one, look, limits)) for name, one in seen.items()]
    alarmed = any(findings for _, _, findings in results)
    if as_json:
        documents = [_document(name, one, findings, camera) for name, one, findings in results]
        typer.echo(json.dumps({"fits": not alarmed, "pictures": documents}, indent=2))
        return 1 if alarmed else 0
    for name, one, findings in results:
        width_mm = "" if camera is None else f", cloth {camera.width_mm(one.span):.1f} mm wide"
        if not findings:
            typer.echo(f"{name}: fits (mean grey {one.figures.mean_grey:.0f}{width_mm})")
        for finding in findings:
            typer.echo(f"{name}: {finding.alarm}: {finding.message}")
    return 1 if alarmed else 0


def _limits(given: list[str]) -> CheckLimits:
    """The limits in words NAME=VALUE; those that are not given have their default.

    Raises:
        InputError: there is no such limit, or its value is impossible.
    """
    from pydantic import ValidationError

    from glass_edge.config.fit_check import CheckLimits

    known = ", ".join(CheckLimits.model_fields)
    values = {}
    for word in given:
        name, _, value = word.partition("=")
        if name not in CheckLimits.model_fields or not value:
            raise InputError(f"--limit {word}: give NAME=VALUE with one of {known}")
        values[name] = value
    try:
        return CheckLimits.model_validate_strings(values)
    except ValidationError as error:
        told = [f"--limit {one['loc'][0]}={one['input']}: {one['msg']}" for one in error.errors()]
        raise InputError("\n".join(told)) from error


def _measure(
    images: list[Path], flat_field: Path | None, full_scale_16bit: int | None
) -> tuple[dict[str, Seen], int, str, list[Path]]:
    """Measured pictures by name, their width, the hash of the flat field (empty: none) and the files they are in."""
    from glass_edge.acquisition.raw_player import RawPlayer, is_recording
    from glass_edge.calibration.cloth_look import look_at
    from glass_edge.calibration.flat_field import FlatField
    from glass_edge.cli.calibrate_files import each_picture
    from glass_edge.cli.calibrate_recording import recorded_pictures

    flat = None if flat_field is None else FlatField.load(flat_field)
    if len(images) == 1 and is_recording(images[0]):
        player = RawPlayer(images[0])
        pictures, files = recorded_pictures(player), list(player.files)
        corrects = False  # the camera did
    else:
        pictures, files = ((str(path), lines) for path, lines in each_picture(images, full_scale_16bit)), []
        corrects = flat is not None
    seen: dict[str, Seen] = {}
    width = 0
    for name, lines in pictures:
        width = int(lines.shape[1])
        if flat is not None:
            flat.check_camera(width_px=width, channels=1 if lines.ndim == 2 else 3)
        try:
            seen[name] = look_at(flat.apply(lines) if flat is not None and corrects else lines)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    if not seen:
        raise InputError(f"{images[0]}: holds no 512 lines in a row; record more")
    return seen, width, "" if flat is None else flat.sha256, files or [Path(name) for name in seen]


def _document(name: str, seen: Seen, findings: tuple[Finding, ...], camera: LineScale | None) -> dict[str, Any]:
    figures = seen.figures
    document: dict[str, Any] = {
        "picture": name,
        "alarms": [
            {"alarm": str(one.alarm), "value": _finite(one.value), "limit": one.limit, "message": one.message}
            for one in findings
        ],
        "mean_grey": figures.mean_grey,
        "saturated_share": figures.saturated_share,
        "zone_grey": [_finite(value) for value in figures.zone_grey],
        "zone_sharpness": [_finite(value) for value in figures.zone_sharpness],
        "pitch_along_lines": seen.weave.pitch_along_lines,
        "pitch_across_px": seen.weave.pitch_across_px,
        "cloth_px": [seen.span.left_px, seen.span.right_px],
    }
    if camera is not None:
        document["cloth_width_mm"] = camera.width_mm(seen.span)
    return document


def _finite(value: float) -> float | None:
    number = float(value)
    return number if abs(number) < float("inf") else None
