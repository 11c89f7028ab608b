"""`glass-edge demo`: two rolls with known defects through the whole program.

Promises: ends by itself; exit code 0 only when a true defect was found and every event of the journal was received over
the socket; leaves `strip.png` and `summary.json`, whole or not at all.
"""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.errors import GlassEdgeError, InputError

if TYPE_CHECKING:
    from glass_edge.service.demo import RollOutcome


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("demo")(demo)


def demo(
    *,
    out: Annotated[Path, typer.Option(help="Folder for strip.png, summary.json, journal and pictures.")] = Path(
        "demo-out"
    ),
    engine: Annotated[
        Path | None, typer.Option(help="Bundle for the simulated linen; default: engines/demo of this program.")
    ] = None,
    greige_engine: Annotated[
        Path | None, typer.Option(help="Bundle for the greige samples; default: engines/demo-greige of this program.")
    ] = None,
    lines: Annotated[int, typer.Option(min=512, max=200_000, help="Camera lines of linen.")] = 3072,
    width_px: Annotated[int, typer.Option(min=256, max=32_768, help="Pixels of a line of linen.")] = 1024,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another piece of linen.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json and nothing else.")] = False,
) -> int:
    """Inspect simulated linen and real stained cloth, print what is found, and draw it."""
    started_s = time.monotonic()
    from PIL import Image

    from glass_edge.cli.console import ConsoleSink, describe_defect
    from glass_edge.engine.bundle import load_bundle
    from glass_edge.files import make_folder, write_bytes, write_json
    from glass_edge.service.demo import play, summary
    from glass_edge.service.demo_picture import draw_demo
    from glass_edge.service.demo_rolls import greige_roll, linen_roll
    from glass_edge.service.signals import stop_on_signals

    engines = _engines_folder()
    linen = load_bundle(engine or engines / "demo")
    greige = load_bundle(greige_engine or engines / "demo-greige")
    make_folder(out)
    sink = ConsoleSink(None, quiet=as_json)
    sink.say("weaving ...")
    rolls = [
        linen_roll(linen, width_px=width_px, lines=lines, seed=seed),
        greige_roll(greige, engines / "demo" / "samples" / "greige-stain", out / "greige"),
    ]

    def after(outcome: RollOutcome) -> None:
        pairs = zip(outcome.roll.truths, outcome.match.found_of_truth, strict=True)
        for truth, found in pairs:
            ids = ", ".join(f"#{outcome.found[place].defect_id}" for place in found)
            scale = outcome.roll.job.scale
            along_mm, across_mm = truth.box_px.first_line * scale.mm_per_line, truth.box_px.left_px * scale.mm_per_px
            sink.say(
                f"true   {truth.kind:<11} {along_mm / 1000:9.3f} m along {across_mm:8.1f} mm across: "
                + (f"found as {ids}" if found else "MISSED")
            )
        for place in outcome.match.false_alarms:
            sink.say(f"false  {describe_defect(outcome.found[place])}")

    with stop_on_signals() as stop:
        outcome = play(out, rolls, watch=lambda roll: sink, after=after, stop=stop)
    if stop.asked.is_set():
        raise KeyboardInterrupt
    picture = io.BytesIO()
    Image.fromarray(draw_demo(outcome.rolls)).save(picture, "PNG")
    write_bytes(out / "strip.png", picture.getvalue())
    document = summary(outcome, time.monotonic() - started_s)
    write_json(out / "summary.json", document)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    sink.say(
        f"{document['defects_found']} of {document['defects_true']} true defects found, {document['false_alarms']} "
        f"false alarms, {document['metres']:.3f} m, {document['events_received']} events received over ZeroMQ (all "
        f"that the journal holds), {document['seconds']:.1f} s"
    )
    sink.say(f"see {out / 'strip.png'} and {out / 'summary.json'}")
    if not document["defects_found"]:
        raise GlassEdgeError("no true defect was found; are the engines those of this cloth?")
    return 0


def _engines_folder() -> Path:
    """Folder `engines` of this program's checkout, or of the folder it is started in."""
    for root in (Path(__file__).parents[2], Path()):
        if (root / "engines" / "demo").is_dir():
            return root / "engines"
    raise InputError("no folder engines/demo here; start the demo in a checkout of the program")
