"""The virtual loom as harvesters sees it: what streams is the cloth, byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from virtual_loom_peer import expected_levels, genapi, gentl, harvester, opened, set_up, take

from glass_edge.acquisition.virtual_loom import VirtualLoom

RNG = np.random.default_rng(6)
GREY = RNG.integers(0, 256, (300, 64), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (100, 64, 3), dtype=np.uint8)


def rows(cloth: NDArray[np.uint8], encoder: tuple[int, int], step: int = 1) -> NDArray[np.uint8]:
    return cloth[np.arange(encoder[0], encoder[1] + step, step) % len(cloth)]


@pytest.mark.parametrize("counts_per_line", [1, 4])
def test_blocks_are_the_cloth_and_frames_are_gapless(tmp_path: Path, counts_per_line: int) -> None:
    loom = VirtualLoom.create(tmp_path, GREY, line_rate_hz=5000, counts_per_line=counts_per_line, patient=True)
    with opened(loom.cti) as ia:
        set_up(ia.remote_device.node_map)
        ia.start()
        blocks = [take(ia) for _ in range(40)]
        ia.stop()
    assert [b.frame_id for b in blocks] == list(range(1, 41))
    played = np.concatenate([b.raw.reshape(32, 64) for b in blocks])
    assert np.array_equal(played, GREY[np.arange(len(played)) % 300])
    for number, block in enumerate(blocks):
        assert block.encoder == (number * 32 * counts_per_line, (number * 32 + 31) * counts_per_line)
        assert block.chunks is not None
        assert block.chunks["FrameID"] == block.frame_id
        assert block.chunks["Timestamp"] == block.timestamp_ns
        assert block.chunks["EncoderStatusValue"] == "EncoderUp"


def test_images_play_in_order_without_a_line_trigger(tmp_path: Path) -> None:
    strips = tmp_path / "strips"
    strips.mkdir()
    for name, part in (("strip10.png", GREY[:100]), ("strip2.png", GREY[100:])):
        Image.fromarray(part).save(strips / name)
    loom = VirtualLoom.create(tmp_path / "loom", strips, line_rate_hz=5000, patient=True)
    with opened(loom.cti) as ia:
        set_up(ia.remote_device.node_map, height=50, encoder=False, chunks=False)
        ia.start()
        played = np.concatenate([take(ia).raw.reshape(50, 64) for _ in range(12)])
        ia.stop()
    web = np.concatenate([GREY[100:], GREY[:100]])
    assert np.array_equal(played, np.concatenate([web, web]))


def test_time_stamps_follow_the_lines(tmp_path: Path) -> None:
    loom = VirtualLoom.create(tmp_path, GREY, line_rate_hz=2000)
    with opened(loom.cti, n_buffers=64) as ia:
        set_up(ia.remote_device.node_map)
        ia.start()
        blocks = [take(ia) for _ in range(20)]
        ia.stop()
    steps = np.diff([b.timestamp_ns for b in blocks])
    assert np.allclose(steps, 32 / 2000 * 1e9, rtol=1e-4)


def unpack_p(raw: NDArray[np.uint8], bits: int) -> NDArray[np.uint16]:
    stream = np.unpackbits(raw, bitorder="little").reshape(-1, bits)
    return (stream * (1 << np.arange(bits))).sum(axis=1).astype(np.uint16)


def unpack_gev(raw: NDArray[np.uint8]) -> NDArray[np.uint16]:
    a, b, c = raw.reshape(-1, 3).astype(np.uint16).T
    return np.stack([a << 4 | b & 15, c << 4 | b >> 4], axis=1).ravel()


@pytest.mark.parametrize("name", ["Mono10", "Mono10p", "Mono12", "Mono12p", "Mono12Packed", "Mono16"])
def test_deep_formats_carry_the_cloth_in_their_top_bits(tmp_path: Path, name: str) -> None:
    loom = VirtualLoom.create(tmp_path, GREY, line_rate_hz=5000, patient=True)
    bits = int(name[4:6])
    with opened(loom.cti) as ia:
        nodes = ia.remote_device.node_map
        set_up(nodes, PixelFormat=name)
        assert nodes.PayloadSize.value > 32 * 64 * bits // 8
        ia.start()
        assert nodes.PixelFormat.value == name
        with ia.fetch(timeout=5) as buffer:
            raw = np.frombuffer(buffer.module.raw_buffer, np.uint8).copy()  # the memory itself goes with stop()
        ia.stop()
    size_bytes = 32 * 64 * (16 if name in ("Mono10", "Mono12", "Mono16") else bits) // 8
    raw = raw[:size_bytes]
    got = unpack_gev(raw) if name.endswith("Packed") else unpack_p(raw, bits) if name.endswith("p") else raw.view("<u2")
    assert np.array_equal(got.reshape(32, 64), expected_levels(GREY[:32], bits))


@pytest.mark.parametrize("name", ["RGB8", "Mono8", "BayerRG8"])
def test_colour(tmp_path: Path, name: str) -> None:
    loom = VirtualLoom.create(tmp_path, COLOUR, line_rate_hz=5000, patient=True)
    bayer = COLOUR[:, :, 1].copy()
    bayer[0::2, 0::2], bayer[1::2, 1::2] = COLOUR[0::2, 0::2, 0], COLOUR[1::2, 1::2, 2]
    want = {"RGB8": COLOUR, "Mono8": np.asarray(Image.fromarray(COLOUR).convert("L")), "BayerRG8": bayer}[name]
    with opened(loom.cti) as ia:
        assert ia.remote_device.node_map.PixelFormat.value == "RGB8"
        set_up(ia.remote_device.node_map, PixelFormat=name)
        ia.start()
        block = take(ia)
        ia.stop()
    assert block.data_format == name
    assert np.array_equal(block.raw.reshape(want[:32].shape), want[:32])


def test_region_exposure_and_gain(tmp_path: Path) -> None:
    loom = VirtualLoom.create(tmp_path, GREY, line_rate_hz=5000, patient=True)
    with opened(loom.cti) as ia:
        nodes = ia.remote_device.node_map
        set_up(nodes, Width=16, OffsetX=20, ExposureTime=100.0)
        ia.start()
        brighter = take(ia)
        ia.stop()
        nodes.ExposureTime.value, nodes.Gain.value = 25.0, 20 * np.log10(2.0)
        ia.start()
        same = take(ia)
        ia.stop()
    assert brighter.encoder is not None
    assert same.encoder is not None
    want = rows(GREY[:, 20:36], brighter.encoder).astype(int)
    got = brighter.raw.reshape(32, 16).astype(int)
    assert np.all(np.abs(got - np.minimum(want * 2, 255)) <= 1)
    assert np.abs(same.raw.reshape(32, 16).astype(int) - rows(GREY[:, 20:36], same.encoder)).max() <= 1


def test_a_wider_divider_takes_every_second_line(tmp_path: Path) -> None:
    loom = VirtualLoom.create(tmp_path, GREY, line_rate_hz=5000, patient=True)
    with opened(loom.cti) as ia:
        set_up(ia.remote_device.node_map, EncoderDivider=2)
        ia.start()
        block = take(ia)
        ia.stop()
    assert block.encoder == (0, 62)
    assert np.array_equal(block.raw.reshape(32, 64), GREY[0:64:2])


def test_a_software_trigger_takes_one_frame(tmp_path: Path) -> None:
    loom = VirtualLoom.create(tmp_path, GREY, line_rate_hz=5000)
    with opened(loom.cti) as ia:
        nodes = ia.remote_device.node_map
        set_up(nodes, TriggerMode="On")
        ia.start()
        with pytest.raises(gentl.TimeoutException):
            ia.fetch(timeout=0.2)
        for number in (1, 2):
            nodes.TriggerSoftware.execute()
            assert take(ia).frame_id == number
            with pytest.raises(gentl.TimeoutException):
                ia.fetch(timeout=0.1)
        ia.stop()


def test_line_status_and_chunks_one_by_one(tmp_path: Path) -> None:
    loom = VirtualLoom.create(tmp_path, GREY, line_rate_hz=5000, patient=True)
    loom.set_line_status(0b101)
    with opened(loom.cti) as ia:
        nodes = ia.remote_device.node_map
        set_up(nodes)
        with_all = nodes.PayloadSize.value
        assert nodes.LineStatusAll.value == 0b101
        ia.start()
        block = take(ia)
        ia.stop()
        assert block.chunks is not None
        assert block.chunks["LineStatusAll"] == 0b101
        nodes.ChunkSelector.value = "EncoderValue"
        nodes.ChunkEnable.value = False
        assert nodes.PayloadSize.value == with_all - 8 * 32
        ia.start()
        with ia.fetch(timeout=5) as buffer:
            assert buffer.module.num_chunks == 4
            assert nodes.ChunkFrameID.value == 1
        ia.stop()


def test_values_out_of_range_are_refused(tmp_path: Path) -> None:
    loom = VirtualLoom.create(tmp_path, GREY, line_rate_hz=5000)
    with opened(loom.cti) as ia:
        nodes = ia.remote_device.node_map
        impossible = {
            "Width": (0, 68, 30),
            "Height": (0, 16385),
            "OffsetX": (4,),
            "ExposureTime": (0.5, 20000.0),
            "Gain": (-1.0, 25.0),
            "AcquisitionLineRate": (0.0, 1e6),
            "EncoderDivider": (0, 65537),
            "PixelFormat": ("Mono14",),
        }
        for name, values in impossible.items():
            before = getattr(nodes, name).value
            for value in values:
                with pytest.raises(genapi.GenericException):
                    getattr(nodes, name).value = value
            assert getattr(nodes, name).value == before
        nodes.ExposureTime.value = 1000.0
        assert nodes.AcquisitionLineRate.max == pytest.approx(1e6 / 1001)
        assert nodes.AcquisitionLineRate.value <= nodes.AcquisitionLineRate.max
        ia.start()
        for name, value in (("Width", 16), ("Height", 8), ("PixelFormat", "Mono16"), ("ChunkModeActive", True)):
            with pytest.raises(genapi.GenericException):
                getattr(nodes, name).value = value
        ia.stop()
        nodes.Width.value = 16


def test_every_feature_can_be_read(tmp_path: Path) -> None:
    from glass_edge.acquisition.virtual_loom.features import CATEGORIES

    loom = VirtualLoom.create(tmp_path, GREY, user_id="above the let-off")
    with opened(loom.cti) as ia:
        nodes = ia.remote_device.node_map
        for feature in (f for features in CATEGORIES.values() for f in features if f.kind != "command"):
            assert getattr(nodes, feature.name).value is not None
        assert nodes.DeviceUserID.value == "above the let-off"
        assert nodes.DeviceSerialNumber.value == "LOOM-1"
        nodes.TimestampLatch.execute()
        assert nodes.TimestampLatchValue.value > 0


def test_several_cameras_of_one_producer(tmp_path: Path) -> None:
    VirtualLoom.create(tmp_path, GREY, serial="LEFT", line_rate_hz=5000, patient=True)
    loom = VirtualLoom.create(tmp_path, GREY[::-1].copy(), serial="RIGHT", line_rate_hz=5000, patient=True)
    with harvester(loom.cti) as h:
        assert [d.serial_number for d in h.device_info_list] == ["LEFT", "RIGHT"]
        acquirers = [h.create({"serial_number": serial}) for serial in ("LEFT", "RIGHT")]
        for ia in acquirers:
            set_up(ia.remote_device.node_map)
            ia.start()
        left, right = (take(ia).raw.reshape(32, 64) for ia in acquirers)
        for ia in acquirers:
            ia.destroy()
    assert np.array_equal(left, GREY[:32])
    assert np.array_equal(right, GREY[::-1][:32])
