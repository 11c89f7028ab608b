"""Centres of good points and the radii around them, of one batch.

Promises: radii are constants for gradients; without a centre there are none. The radius is measured on all normal
points of the batch: those of the good images and those of the synthetic images where their mask is not set.

Source: Chen et al., ECCV 2024, section 3.3, and the behaviour of the authors' program.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glass_edge.glass.gas import GasConfig, Hypothesis, project_las
from glass_edge.glass.quantiles import linear_quantile
from glass_edge.glass.radial import row_norms


@dataclass(frozen=True, slots=True)
class Spheres:
    """Centres of each point, (n, d), and the radii around them; all None without a centre.

    Attributes:
        centre_normal: of the points of good images.
        centre_synthetic: of those of synthetic images.
        radius: quantile distance of normal points to their centres.
        radius_las: the same of masked points; None where none is masked.
    """

    centre_normal: Tensor | None = None
    centre_synthetic: Tensor | None = None
    radius: Tensor | None = None
    radius_las: Tensor | None = None

    @classmethod
    def measure(
        cls, normal: Tensor, synthetic: Tensor, mask: Tensor, centres: tuple[Tensor, Tensor], q: float
    ) -> Spheres:
        """Radii of adapted points.

        Args:
            normal: of good images, (n, d).
            synthetic: of synthetic images, (m, d).
            mask: bool (m,).
            centres: of the normal and of the synthetic points, (n, d) and (m, d).
            q: quantile.
        """
        with torch.no_grad():
            from_normal, from_synthetic = row_norms(normal - centres[0]), row_norms(synthetic - centres[1])
            masked = from_synthetic[mask]
            return cls(
                *centres,
                radius=linear_quantile(torch.cat([from_synthetic[~mask], from_normal]), q),
                radius_las=linear_quantile(masked, q) if len(masked) else None,
            )

    def project_las(self, synthetic: Tensor, mask: Tensor, gas: GasConfig) -> Tensor:
        """Features of synthetic images as the discriminator gets them: moved under the hypersphere."""
        if gas.hypothesis is Hypothesis.MANIFOLD:
            return synthetic
        assert self.centre_synthetic is not None
        assert self.radius is not None
        return project_las(synthetic, mask, self.centre_synthetic, self.radius, gas)

    def quantile_to_centre(self, points: Tensor | None, q: float) -> Tensor | None:
        """Quantile distance of the points of GAS to the centres of their normal points."""
        if self.centre_normal is None or points is None:
            return None
        return linear_quantile(row_norms(points - self.centre_normal), q)
