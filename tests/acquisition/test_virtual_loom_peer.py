"""The tests' own driver against a producer that is not ours: viky.cti of the genicam wheel (an area camera)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from virtual_loom_peer import gentl, harvester

VIKY = Path(gentl.__file__).with_name("viky.cti")

pytestmark = pytest.mark.skipif(not VIKY.exists(), reason="this genicam wheel carries no simulator")


def test_the_driver_streams_from_a_foreign_producer() -> None:
    with harvester(VIKY) as h:
        assert len(h.device_info_list) >= 1
        ia = h.create(0)
        ia.num_buffers = 8
        ia.start()
        ids, shapes = [], set()
        for _ in range(10):
            with ia.fetch(timeout=5) as buffer:
                component = buffer.payload.components[0]
                ids.append(buffer.module.frame_id)
                shapes.add(component.data.reshape(component.height, component.width, -1).shape[:2])
        ia.stop()
        ia.destroy()
    assert len(shapes) == 1
    assert np.all(np.diff(ids) == 1)
