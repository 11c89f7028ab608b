from __future__ import annotations

from glass_edge.inspection.receive_times import ReceiveTimes


def test_a_line_has_the_time_of_its_block() -> None:
    times = ReceiveTimes(capacity=3)
    assert times.of_line(0) is None
    for k in range(5):
        times.add(10 * (k + 1), float(k))
    assert times.of_line(49) == 4.0
    assert times.of_line(40) == 4.0
    assert times.of_line(39) == 3.0
    assert times.of_line(20) == 2.0
    assert times.of_line(19) is None  # its block is forgotten
    assert times.of_line(50) is None  # not received
