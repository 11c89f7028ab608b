"""Reading the JSON files that calibration writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from glass_edge.config.base import Settings
from glass_edge.errors import InputError

DocumentT = TypeVar("DocumentT", bound=Settings)


def load_document(path: Path, kind: type[DocumentT], *, what: str, remedy: str) -> DocumentT:
    """The document in a file.

    Args:
        path: of the file.
        kind: of document.
        what: it should be, for the message: "a camera's scale".
        remedy: what to do about a file that is none.

    Raises:
        InputError: missing, unreadable, or no such document; names file, key and remedy.
    """
    try:
        return kind.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {remedy}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "(whole file)"
        raise InputError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}; {remedy}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not {what} ({error}); {remedy}") from error
