from __future__ import annotations

from glass_edge.fabric.geometry import WebBox
from glass_edge.service.truth_match import match_boxes


def test_a_defect_is_found_within_the_reach_and_what_overlaps_nothing_is_a_false_alarm() -> None:
    truths = [WebBox(100, 120, 50, 60), WebBox(300, 310, 50, 60)]
    found = [WebBox(120, 125, 40, 50), WebBox(90, 100, 60, 62), WebBox(319, 325, 69, 80), WebBox(500, 510, 0, 9)]
    touching = match_boxes(truths, found, 0)
    assert (touching.found_of_truth, touching.false_alarms) == (((), ()), (0, 1, 2, 3))
    near = match_boxes(truths, found, 1)
    assert (near.found_of_truth, near.false_alarms) == (((0, 1), ()), (2, 3))
    far = match_boxes(truths, found, 10)
    assert (far.found_of_truth, far.false_alarms, far.n_found) == (((0, 1), (2,)), (3,), 2)


def test_nothing_true_and_nothing_found() -> None:
    assert match_boxes([], [WebBox(0, 1, 0, 1)], 5).false_alarms == (0,)
    assert match_boxes([WebBox(0, 1, 0, 1)], [], 5).n_found == 0
