import numpy as np
import pytest

from glass_edge.acquisition.loom.weave import Weave, parse_weave, warp_up
from glass_edge.errors import InputError


@pytest.mark.parametrize(
    ("weave", "lifted_share"),
    [
        (Weave.PLAIN, 1 / 2),
        (Weave.TWILL21, 2 / 3),
        (Weave.TWILL22, 1 / 2),
        (Weave.TWILL31, 3 / 4),
        (Weave.SATIN, 1 / 8),
    ],
)
def test_every_yarn_is_lifted_as_its_notation_says(weave: Weave, lifted_share: float) -> None:
    repeat = warp_up(weave)
    np.testing.assert_allclose(repeat.mean(axis=0), lifted_share)
    np.testing.assert_allclose(repeat.mean(axis=1), lifted_share)


def test_satin_has_no_neighbouring_lifts() -> None:
    lifted = [int(np.flatnonzero(row)[0]) for row in warp_up(Weave.SATIN)]
    assert sorted(lifted) == list(range(8))
    steps = [abs(a - b) for a, b in zip(lifted, [*lifted[1:], lifted[0]], strict=True)]
    assert all(1 < step < 7 for step in steps)


def test_twill_line_climbs_one_end_a_pick() -> None:
    repeat = warp_up(Weave.TWILL22)
    for pick in range(3):
        assert (repeat[pick + 1] == np.roll(repeat[pick], 1)).all()


def test_unknown_weave_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="twill22"):
        parse_weave("twil22")
