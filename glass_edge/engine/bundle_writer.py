"""Writing a bundle.

Promises: a bundle appears whole or not at all, also after a power cut, and an existing version is never overwritten;
what was written has been loaded and verified before it gets its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from glass_edge.config.base import describe
from glass_edge.engine.bundle import Bundle, hash_line, load_bundle
from glass_edge.engine.manifest import GOLDEN_NAME, MANIFEST_HASH_NAME, MANIFEST_NAME, MODEL_NAME, Manifest
from glass_edge.errors import InputError
from glass_edge.files import make_folder, sync_folder

_TEMPORARY_PREFIX = ".~"


def write_bundle(engines: Path, manifest: Manifest, contents: Mapping[str, bytes | Path]) -> Bundle:
    """Write `<engines>/<style>/<version>/` and load it again.

    Args:
        engines: folder of all styles; made when missing.
        manifest: `files` is filled in here, whatever it held.
        contents: bytes, or a file to copy, by path inside the bundle; the model and the golden set are needed.

    Raises:
        InputError: the version exists, a name leads out of the folder, the golden set does not fit, or the folder
            cannot be written. Nothing is left behind.
    """
    for needed in (MODEL_NAME, GOLDEN_NAME):
        if needed not in contents:
            raise InputError(f"a bundle needs '{needed}'")
    _require_valid(manifest, contents)
    style_folder = make_folder(engines / manifest.style)
    target = style_folder / manifest.version
    if target.exists():
        raise InputError(f"{target} exists; versions are never overwritten: choose another version")
    try:
        temporary = Path(tempfile.mkdtemp(dir=style_folder, prefix=_TEMPORARY_PREFIX))
    except OSError as error:
        raise InputError(f"cannot write into {style_folder}: {error.strerror}") from error
    try:
        files = {name: _write(temporary / name, content) for name, content in contents.items()}
        whole = manifest.model_copy(update={"files": files})
        text = json.dumps(whole.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        digest = _write(temporary / MANIFEST_NAME, (text + "\n").encode())
        _write(temporary / MANIFEST_HASH_NAME, hash_line(digest))
        for folder in sorted({path.parent for path in temporary.rglob("*")} | {temporary}):
            folder.chmod(0o755)
            sync_folder(folder)
        load_bundle(temporary).golden()
        temporary.rename(target)  # fails when another process made the version meanwhile
        sync_folder(style_folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise InputError(f"cannot write {target}: {error.strerror}") from error
        raise
    return load_bundle(target)


def _require_valid(manifest: Manifest, contents: Mapping[str, bytes | Path]) -> None:
    try:
        Manifest.model_validate({**manifest.model_dump(), "files": dict.fromkeys(contents, "0" * 64)})
    except ValidationError as error:
        raise InputError(describe(Path(MANIFEST_NAME), "", Manifest, error)) from error


def _write(path: Path, content: bytes | Path) -> str:
    """Write or copy one file durably; returns its SHA-256."""
    try:
        data = content if isinstance(content, bytes) else content.read_bytes()
    except OSError as error:
        raise InputError(f"{content!s}: cannot be read: {error.strerror}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return hashlib.sha256(data).hexdigest()
