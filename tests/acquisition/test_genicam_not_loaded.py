"""What is said when the GenICam library is absent, and when it is there and cannot be loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from glass_edge.acquisition.genicam_devices import load_harvesters
from glass_edge.errors import InputError, MissingExtraError


def _without_genicam(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("genicam", "harvesters")]:
        monkeypatch.delitem(sys.modules, name)


def test_a_library_that_is_absent_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_genicam(monkeypatch)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if "site-packages" not in place])
    with pytest.raises(MissingExtraError, match=r"glass-edge\[genicam\]"):
        load_harvesters()


def test_a_library_that_lacks_another_one_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_genicam(monkeypatch)
    (tmp_path / "genicam").mkdir()
    (tmp_path / "genicam/__init__.py").write_text(
        'raise ImportError("libpython3.11.so.1.0: cannot open shared object")'
    )
    monkeypatch.syspath_prepend(tmp_path)
    remedy = rf"libpython3\.11\.so\.1\.0: .*apt install libpython3\.{sys.version_info.minor}"
    with pytest.raises(InputError, match=remedy) as told:
        load_harvesters()
    assert not isinstance(told.value, MissingExtraError)
