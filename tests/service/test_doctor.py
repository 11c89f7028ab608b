"""What the doctor sees of parts that are well and of parts that are not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glass_edge.config.camera import GenicamCameraSettings, ReplayCameraSettings
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import CurveSettings, EventSettings
from glass_edge.engine.keys import write_key_pair
from glass_edge.errors import InputError
from glass_edge.events.curve_keys import allow, make_key_pair
from glass_edge.events.publisher import Publisher
from glass_edge.service.doctor import box, network, parts, storage
from glass_edge.service.doctor.finding import Finding, Verdict, examine, good

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "engines" / "demo-greige"


def _verdicts(findings: Iterator[Finding]) -> list[tuple[Verdict, str]]:
    return [(finding.verdict, finding.remedy) for finding in findings]


def _events(folder: Path, **changes: object) -> EventSettings:
    own = {"publish_endpoint": f"ipc://{folder}/p", "request_endpoint": f"ipc://{folder}/r"}
    return EventSettings.model_validate({"journal": folder / "events.journal"} | own | changes)


def test_an_examination_that_fails_is_a_finding_and_keeps_what_was_found() -> None:
    def look() -> Iterator[Finding]:
        yield good("camera", "found")
        raise InputError("cam.toml: no such file; give the profile")

    first, second = examine("camera", look)
    assert first.verdict is Verdict.GOOD
    assert second == Finding("camera", Verdict.BAD, "cam.toml: no such file", "give the profile")


def test_the_engine_of_the_demo_is_well() -> None:
    assert {verdict for verdict, _ in _verdicts(parts.engine(DEMO, EngineSettings()))} == {Verdict.GOOD, Verdict.CARE}


def test_an_engine_that_needs_a_signature_is_told(tmp_path: Path) -> None:
    trusted = write_key_pair(tmp_path / "mill").public
    settings = EngineSettings(require_signature=True, trusted_keys=(trusted,))
    *_, last = examine("engine", lambda: parts.engine(DEMO, settings))
    assert last.verdict is Verdict.BAD
    assert "not signed" in last.text
    *_, last = examine("engine", lambda: parts.engine(tmp_path / "none", EngineSettings()))
    assert last.verdict is Verdict.BAD
    assert str(tmp_path / "none") in last.text


def test_a_camera_is_asked_and_what_it_lacks_is_told(tmp_path: Path) -> None:
    producer = tmp_path / "vendor.cti"
    producer.touch()
    asked: list[GenicamCameraSettings] = []

    def answer(settings: GenicamCameraSettings) -> dict[str, Any]:
        asked.append(settings)
        facts = {"vendor": "V", "model": "M", "serial_number": "7", "width_px": 4096, "pixel_format": "Mono8"}
        return {"facts": facts, "lacks": ["ChunkEncoderValue"]}

    camera = GenicamCameraSettings(kind="genicam", cti=(producer,))
    found = list(parts.camera(camera, answer))
    assert asked == [camera]
    assert [finding.verdict for finding in found] == [Verdict.GOOD, Verdict.GOOD, Verdict.CARE]
    assert "ChunkEncoderValue" in found[2].text


def test_no_producer_and_no_pictures_are_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENICAM_GENTL64_PATH", raising=False)

    def never(settings: GenicamCameraSettings) -> dict[str, Any]:
        raise AssertionError(settings)

    for camera in (
        GenicamCameraSettings(kind="genicam"),
        ReplayCameraSettings(kind="replay", path=tmp_path / "none"),
    ):
        (only,) = examine("camera", lambda camera=camera: parts.camera(camera, never))
        assert only.verdict is Verdict.BAD
        assert only.remedy


def test_what_the_system_lets_cameras_use(tmp_path: Path) -> None:
    usbfs, receive = tmp_path / "usbfs", tmp_path / "rmem"
    usbfs.write_text("16\n")
    receive.write_text("212992\n")
    said = [remedy for verdict, remedy in _verdicts(parts.usb_and_network(usbfs, receive)) if verdict is Verdict.CARE]
    assert f"echo 256 > {usbfs}; for good: usbcore.usbfs_memory_mb on the kernel's command line" in said
    assert "sysctl -w net.core.rmem_max=16777216" in said
    usbfs.write_text("1000")
    receive.write_text("33554432")
    assert not [one for one in parts.usb_and_network(usbfs, receive) if one.part != "limits"]


def test_room_and_speed_of_the_journal_s_disk(tmp_path: Path) -> None:
    journal = tmp_path / "deep" / "events.journal"
    found = list(storage.journal_disk(journal, keep_mb=1))
    assert found[0].verdict is Verdict.GOOD
    assert "an event is on the disk" in found[1].text
    (wanting,) = storage.picture_disk(tmp_path, most_mb=1 << 40)
    assert wanting.verdict is Verdict.CARE
    assert not list(tmp_path.iterdir())


def test_a_file_where_a_folder_must_be_is_bad(tmp_path: Path) -> None:
    (tmp_path / "deep").touch()
    (only,) = storage.picture_disk(tmp_path / "deep" / "crops", most_mb=1)
    assert (only.verdict, only.text) == (Verdict.BAD, f"{tmp_path / 'deep'} is no folder")


def test_the_kind_of_a_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("a / ext4 rw 0 0\nb /mnt nfs4 rw 0 0\nc /mnt/a\\040b xfs rw 0 0\n")
    assert storage.file_system(Path("/mnt/x"), mounts) == "nfs4"
    assert storage.file_system(Path("/mnt/a b/c"), mounts) == "xfs"
    assert storage.file_system(Path("/mntx"), mounts) == "ext4"


def test_a_running_station_answers_and_is_not_disturbed(tmp_path: Path) -> None:
    events = _events(tmp_path)
    with Publisher(events, "loom-1"):
        (only,) = network.sockets(events, "loom-1")
        assert only.verdict is Verdict.GOOD
        assert "running" in only.text
    assert [one.verdict for one in network.sockets(events, "loom-1")] == [Verdict.GOOD, Verdict.GOOD]


def test_a_port_that_is_taken_and_a_file_in_the_way_are_bad(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / "p").touch()
        events = _events(tmp_path, request_endpoint=f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        in_the_way, in_use = network.sockets(events, "loom-1")
    assert (in_the_way.verdict, in_use.verdict) == (Verdict.BAD, Verdict.BAD)
    assert "is no socket" in in_the_way.text
    assert "in use by another program" in in_use.text


def test_keys_that_others_can_read_and_an_empty_folder(tmp_path: Path) -> None:
    secret, _ = make_key_pair(tmp_path, "loom-1")
    _, client = make_key_pair(tmp_path, "mes")
    clients = tmp_path / "clients"
    clients.mkdir()
    events = _events(tmp_path, curve=CurveSettings(server_key=str(secret), allowed_clients=clients))
    assert [one.verdict for one in network.keys(events)] == [Verdict.GOOD, Verdict.CARE]
    allow(client, clients)
    secret.chmod(0o644)
    first, second = network.keys(events)
    assert first.verdict is Verdict.BAD
    assert f"chmod 600 {secret}" in first.text + first.remedy
    assert "mes" in second.text


def test_the_box_is_read(tmp_path: Path) -> None:
    (tmp_path / "scaling_governor").write_text("powersave\n")
    found = list(box.processor(tmp_path))
    assert ("processor", Verdict.CARE) in {(one.part, one.verdict) for one in found}
    assert {one.part for one in box.clock()} == {"clock"}
    assert list(box.gpu(EngineSettings())) == []


def test_a_gpu_that_is_not_there_is_told() -> None:
    first, *_ = examine("gpu", lambda: box.gpu(EngineSettings(runtime="tensorrt")))
    if first.verdict is Verdict.BAD:
        assert "use runtime = 'openvino'" in first.text + first.remedy
    else:
        assert "driver" in first.text
