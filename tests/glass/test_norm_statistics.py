from __future__ import annotations

import pytest
import torch

from glass_edge.errors import InputError
from glass_edge.glass.networks import build_head
from glass_edge.glass.norm_statistics import set_norm_statistics
from glass_edge.glass.statistics import StreamingMoments


@pytest.mark.parametrize("whitened", [False, True])
def test_closed_form_equals_the_statistics_of_the_points(whitened: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    head = build_head(12, 7, 5, whitened=whitened)
    if head.whitening is not None:
        head.whitening.mean.copy_(torch.randn(12, generator=generator))
        head.whitening.matrix.copy_(torch.randn(12, 12, generator=generator))
    batches = [torch.randn(count, 12, generator=generator) * 2 + 3 for count in (40, 1, 25)]
    moments = StreamingMoments(12)
    for points in batches:
        moments.add(points)
    set_norm_statistics(head, moments)
    with torch.no_grad():
        points = torch.cat(batches)
        hidden = head.discriminator.hidden(head.adaptor(head.whiten(points))).double()
    assert torch.allclose(head.discriminator.norm.running_mean.double(), hidden.mean(dim=0), rtol=1e-5, atol=1e-4)
    assert torch.allclose(head.discriminator.norm.running_var.double(), hidden.var(dim=0), rtol=1e-4)


def test_a_single_point_has_no_variance() -> None:
    moments = StreamingMoments(3)
    moments.add(torch.ones(1, 3))
    with pytest.raises(InputError, match="no covariance"):
        set_norm_statistics(build_head(3, 2, 0), moments)
