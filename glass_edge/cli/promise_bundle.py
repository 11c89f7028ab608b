"""A new version of a bundle with a promised threshold.

Promises: everything of the old bundle but the threshold is in the new one, byte for byte; it is written only when this
machine's engine decides the golden tiles at the new threshold as the checkpoint does; signatures do not carry over.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from glass_edge.calibration.tail_promise import Promise
from glass_edge.cli.good_rolls import GoodRolls
from glass_edge.cli.plots import can_plot
from glass_edge.cli.promise_evidence import EVIDENCE_NAME, PICTURE_NAME, evidence_file, evidence_picture
from glass_edge.config.engine import EngineSettings
from glass_edge.config.recipe import STYLE_PATTERN
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.manifest import Manifest, ThresholdSpec
from glass_edge.engine.parity import self_test
from glass_edge.errors import InputError


def require_new(bundle: Bundle, version: str) -> None:
    """Refuse a version that cannot be written beside `bundle`.

    Raises:
        InputError: it is no name, or there; or the bundle does not lie in the folder of its style.
    """
    if not re.fullmatch(STYLE_PATTERN, version):
        raise InputError(f"--version {version}: give letters, digits, '_', '.', '-', a letter or digit first")
    style, folder = bundle.manifest.style, bundle.folder.resolve().parent
    if folder.name != style:
        raise InputError(
            f"{bundle.folder}: a new version is written beside it, into a folder '{style}' like its style; put the "
            f"bundle into engines/{style}/{bundle.manifest.version}, or look with --dry-run"
        )
    if (folder / version).exists():
        raise InputError(f"{folder / version} exists; versions are never overwritten: choose another --version")


def write_promised(
    bundle: Bundle,
    version: str,
    threshold: ThresholdSpec,
    *,
    good: GoodRolls,
    found: Promise,
    engine: EngineSettings,
    say: Callable[[str], None],
) -> Bundle:
    """Write the new version beside the old one.

    Raises:
        InputError: it cannot be written. ParityError: the engine decides otherwise at the new threshold.
    """
    assert threshold.promise is not None
    manifest = bundle.manifest.model_copy(
        update={
            "version": version,
            "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "threshold": threshold,
        }
    )
    manifest = _judged(bundle, manifest, engine)
    contents: dict[str, bytes | Path] = {name: bundle.folder / name for name in bundle.manifest.files}
    contents.pop(PICTURE_NAME, None)  # of an earlier promise
    contents[EVIDENCE_NAME] = evidence_file(good, threshold.promise)
    if found.tail is not None and can_plot(say):
        contents[PICTURE_NAME] = evidence_picture(good.blocks(), found.tail, found)
    written = write_bundle(bundle.folder.resolve().parents[1], manifest, contents)
    say(f"{written.folder}: written; it is the style's newest version where its name sorts last")
    if bundle.signatures:
        say("the new bundle is not signed: glass-edge bundle sign")
    return written


def _judged(bundle: Bundle, manifest: Manifest, engine: EngineSettings) -> Manifest:
    """The manifest with the parity result of this machine's engine at the new threshold."""
    with open_engine(bundle, engine) as opened:
        result = self_test(opened, Bundle(bundle.folder, manifest, bundle.manifest_sha256))
    key = (result.runtime, result.precision)
    parity = tuple(
        one.model_copy(update={"alarm_cells_changed": result.alarm_cells_changed})
        if (one.runtime, one.precision) == key
        else one
        for one in manifest.parity
    )
    return manifest.model_copy(update={"parity": parity})
