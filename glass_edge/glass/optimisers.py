"""The two optimisers of GLASS.

Promises: the published pair and constants: Adam with coupled L2 for the adaptor, AdamW with decoupled decay for the
discriminator, no schedule, no clipping; the state of both can be saved and restored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from glass_edge.glass.networks import Head


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """Constants of the optimisers (published values)."""

    adaptor_lr: float = 1e-4
    adaptor_l2: float = 1e-5
    """Added to the gradient (coupled)."""
    discriminator_lr: float = 2e-4
    discriminator_decay: float = 0.01
    """Decoupled; the prior's two numbers are left out."""
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8


class Optimisers:
    """Adam for the adaptor, AdamW for the discriminator."""

    def __init__(self, head: Head, config: OptimiserConfig | None = None) -> None:
        settings = config or OptimiserConfig()
        discriminator = head.discriminator
        own = [
            p for part in (discriminator.hidden, discriminator.norm, discriminator.output) for p in part.parameters()
        ]
        prior = [] if discriminator.prior is None else list(discriminator.prior.parameters())
        groups = [{"params": own, "weight_decay": settings.discriminator_decay}]
        if prior:
            groups.append({"params": prior, "weight_decay": 0.0})
        self.adaptor = torch.optim.Adam(
            head.adaptor.parameters(),
            lr=settings.adaptor_lr,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.adaptor_l2,
        )
        self.discriminator = torch.optim.AdamW(
            groups, lr=settings.discriminator_lr, betas=settings.betas, eps=settings.eps
        )

        self._rates = [group["lr"] for group in self._groups()]

    def scale_rates(self, factor: float) -> None:
        """Set every learning rate to `factor` times its first value."""
        for group, rate in zip(self._groups(), self._rates, strict=True):
            group["lr"] = rate * factor

    def _groups(self) -> list[dict[str, Any]]:
        return [*self.adaptor.param_groups, *self.discriminator.param_groups]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.adaptor.zero_grad(set_to_none=True)
        self.discriminator.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Adaptor, then discriminator."""
        self.adaptor.step()
        self.discriminator.step()

    def state_dict(self) -> dict[str, Any]:
        """State of both, for a checkpoint."""
        return {"adaptor": self.adaptor.state_dict(), "discriminator": self.discriminator.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.adaptor.load_state_dict(state["adaptor"])
        self.discriminator.load_state_dict(state["discriminator"])
