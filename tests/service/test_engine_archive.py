"""Bundles that come on a stick: every way to pack one, and what a hostile one may try."""

from __future__ import annotations

import gzip
import io
import os
import resource
import shutil
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from station_support import make_bundle

from glass_edge.engine.bundle import load_bundle
from glass_edge.errors import InputError
from glass_edge.service import engine_archive
from glass_edge.service.engine_archive import take_in


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("engines")).folder


def taken(source: Path, tmp_path: Path, **limits: int) -> Path:
    into = tmp_path / "into"
    into.mkdir()
    return take_in(source, into, **limits)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["folder", "gztar", "tar", "zip", "gztar in folders", "zip in folders"])
def test_a_bundle_is_the_same_however_it_comes(bundle: Path, tmp_path: Path, kind: str) -> None:
    source = bundle
    if kind != "folder":
        form, *inner = kind.split(" in ")
        root, base = (bundle.parent.parent, "plain/1") if inner else (bundle, ".")
        source = Path(shutil.make_archive(str(tmp_path / "packed"), form, root, base))
    found = taken(source, tmp_path)
    assert content(found) == content(bundle)
    assert load_bundle(found).manifest.version == "1"


def test_what_a_mac_leaves_on_a_stick_stays_there(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    (copy / "._model.onnx").write_bytes(b"x")
    (copy / ".DS_Store").write_bytes(b"x")
    assert content(taken(copy, tmp_path)) == content(bundle)


Write = Callable[[Path], None]


def tar_of(*members: tarfile.TarInfo, data: bytes = b"") -> Write:
    def write(path: Path) -> None:
        with tarfile.open(path, "w:gz") as archive:
            for member in members:
                archive.addfile(member, io.BytesIO(data) if member.isreg() else None)

    return write


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def zip_of(name: str, mode: int = 0, data: bytes = b"x") -> Write:
    def write(path: Path) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info, data)

    return write


HOSTILE: dict[str, tuple[Write, str]] = {
    "tar, absolute": (tar_of(member("/etc/cron.d/x")), "no plain name"),
    "tar, up": (tar_of(member("../../x")), "no plain name"),
    "tar, up in the middle": (tar_of(member("plain/../../x")), "no plain name"),
    "tar, folder up": (tar_of(member("../x", tarfile.DIRTYPE)), "no plain name"),
    "tar, symbolic link": (tar_of(member("plain", tarfile.SYMTYPE, "/etc")), "a link"),
    "tar, hard link": (tar_of(member("model.onnx", tarfile.LNKTYPE, "/etc/passwd")), "a link"),
    "tar, pipe": (tar_of(member("model.onnx", tarfile.FIFOTYPE)), "no plain file"),
    "tar, device": (tar_of(member("model.onnx", tarfile.CHRTYPE)), "no plain file"),
    "tar, backslash": (tar_of(member("plain\\..\\x")), "no plain name"),
    "tar, twice": (tar_of(member("a/b"), member("a/b")), "there twice"),
    "tar, file and folder": (tar_of(member("a"), member("a/b")), "cannot be taken in"),
    "tar, long name": (tar_of(member("x" * 300)), "cannot be taken in"),
    "tar, nothing": (tar_of(), "no manifest.json"),
    "zip, absolute": (zip_of("/etc/cron.d/x"), "no plain name"),
    "zip, up": (zip_of("../x"), "no plain name"),
    "zip, link": (zip_of("plain", stat.S_IFLNK | 0o777, b"/etc"), "a link"),
    "zip, pipe": (zip_of("plain", stat.S_IFIFO | 0o777), "no plain file"),
    "zip, drive": (zip_of("C:/x"), "no plain name"),
    "no archive": (lambda path: path.write_bytes(b"nothing of the kind" * 100) and None, "no tar or zip archive"),
    "empty": (lambda path: path.write_bytes(b"") and None, "no tar or zip archive"),
    "gzip of nothing": (lambda path: path.write_bytes(gzip.compress(b"no tar" * 500)) and None, "no tar or zip"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_writes_nothing_outside(tmp_path: Path, name: str) -> None:
    write, told = HOSTILE[name]
    (tmp_path / "box").mkdir()
    source = tmp_path / "x.tar.gz"
    write(source)
    with pytest.raises(InputError, match=told) as error:
        taken(source, tmp_path / "box")
    assert str(error.value).startswith(str(source))
    assert {path.name for path in tmp_path.iterdir()} == {"box", "x.tar.gz"}
    assert {path.name for path in (tmp_path / "box").iterdir()} == {"into"}


def test_links_and_pipes_in_a_folder_are_refused_without_being_opened(bundle: Path, tmp_path: Path) -> None:
    linked = shutil.copytree(bundle, tmp_path / "linked")
    (linked / "model.onnx").unlink()
    (linked / "model.onnx").symlink_to("/etc/hostname")
    piped = shutil.copytree(bundle, tmp_path / "piped")
    os.mkfifo(piped / "x")  # opening it would never return
    for number, source in enumerate((linked, piped)):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(InputError, match="a link, or no file at all"):
            taken(source, tmp_path / str(number))
    with pytest.raises(InputError, match="no such file or folder"):
        take_in(tmp_path / "absent", tmp_path)


def test_an_archive_with_a_password_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", bundle))
    data = bytearray(path.read_bytes())
    for signature, flags_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(signature)
        while place >= 0:
            data[place + flags_at] |= 1
            place = data.find(signature, place + 4)
    path.write_bytes(data)
    with pytest.raises(InputError, match="pack it without a password"):
        taken(path, tmp_path)


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_a_bomb_is_refused_before_it_fills_anything(tmp_path: Path, form: str) -> None:
    size = 40 << 20
    path = tmp_path / "bomb"
    if form == "tar":
        with gzip.open(path, "wb", 1) as stream:
            stream.write(member("model.onnx", size=size).tobuf())
            for _ in range(size >> 20):
                stream.write(bytes(1 << 20))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("model.onnx", "w") as stream:
            for _ in range(size >> 20):
                stream.write(bytes(1 << 20))
    assert path.stat().st_size < 4 << 20
    with pytest.raises(InputError, match="more than 10 MiB"):
        taken(path, tmp_path, most_bytes=10 << 20)
    assert sum(file.stat().st_size for file in (tmp_path / "into").rglob("*")) == 0


def test_a_zip_that_lies_about_its_sizes_is_stopped_by_what_comes_out(tmp_path: Path) -> None:
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.onnx", bytes(8 << 20))
    data = bytearray(path.read_bytes())
    for signature, size_at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.find(signature)
        data[place + size_at : place + size_at + 4] = struct.pack("<I", 1000)
    path.write_bytes(data)
    with pytest.raises(InputError):
        taken(path, tmp_path, most_bytes=1 << 20)
    assert sum(file.stat().st_size for file in (tmp_path / "into").rglob("*")) <= 1 << 20


def test_too_many_files_and_too_large_tables_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_archive, "MOST_FILES", 10)
    many = tmp_path / "many.tar.gz"
    tar_of(*(member(f"f{number}") for number in range(11)))(many)
    with pytest.raises(InputError, match="more than 10 files"):
        taken(many, tmp_path)
    header = member("x", tarfile.XHDTYPE, size=1 << 30).tobuf()  # a table of a gigabyte, which tarfile would hold
    path = tmp_path / "table.tar.gz"
    path.write_bytes(gzip.compress(header + bytes(40 << 20)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / "second").mkdir()
    with pytest.raises(InputError, match="a table of"):
        taken(path, tmp_path / "second")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


@settings(max_examples=60, deadline=None)
@given(data=st.data(), form=st.sampled_from(["gztar", "tar", "zip"]))
def test_a_damaged_archive_is_an_error_or_the_same_bundle(
    tmp_path_factory: pytest.TempPathFactory, bundle: Path, data: st.DataObject, form: str
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = Path(shutil.make_archive(str(folder / "packed"), form, bundle))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    try:
        found = load_bundle(taken(path, folder))
        found.golden()
    except InputError:
        return
    assert {name: found.read(name) for name in found.manifest.files} == {
        name: value for name, value in content(bundle).items() if name in found.manifest.files
    }
