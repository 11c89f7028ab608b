"""Settings of the engine: what computes, how exactly and how much of the machine it may use.

Promises: the defaults suit a box that does nothing but inspect; every value is checked before a model is compiled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from glass_edge.config.base import Settings


class EngineSettings(Settings):
    """Section `[engine]` of a station file."""

    runtime: Literal["openvino", "tensorrt", "tensorrt-rtx"] = "openvino"
    """Library that computes: OpenVINO on the CPU, TensorRT or TensorRT for RTX on an NVIDIA GPU."""
    precision: Literal["auto", "f32", "bf16", "fp16", "int8"] = "auto"
    """Arithmetic; auto: the fastest for which the machine has instructions and in which the engine passes its parity
    gate: int8 where the bundle holds such a graph, bf16 (on a CPU) or fp16 (on a GPU), else f32."""
    gpu: int = Field(default=0, ge=0, le=63)
    """Number of the GPU that computes, for the runtimes on a GPU."""
    cuda_graphs: bool = False
    """On a GPU, record what each batch size queues and replay it; needs cuda-bindings. Never measured, so off."""
    threads: int = Field(default=0, ge=0, le=1024)
    """Threads that compute; 0: one for each of the cores."""
    cores: tuple[int, ...] = ()
    """Numbers of the CPU cores that compute; empty: all this process may use. Others stay free for cameras."""
    streams: int = Field(default=0, ge=0, le=1024)
    """Tiles computed at the same time, the threads shared among them; 0: one tile a thread (most tiles a second)."""
    pin_threads: bool = True
    """Keep each computing thread on its own core. False: the system moves them, for boxes where cameras and other
    programs need cores too."""
    max_batch: int = Field(default=8, ge=1, le=256)
    """Most tiles in one submission."""
    depth: int = Field(default=2, ge=1, le=16)
    """Most submissions in flight."""
    cache_folder: Path | None = None
    """Folder of compiled engines; None: compile at every start."""
    require_signature: bool = False
    """Inspect only with a bundle that was signed with one of `trusted_keys`."""
    trusted_keys: tuple[Path, ...] = ()
    """Files of Ed25519 public keys in PEM, one a file (`glass-edge bundle keygen` makes them)."""
    revoked: Path | None = None
    """File of versions and keys that are not to be used any more (`glass-edge bundle revoke` writes it). None: none
    is."""
    trial_min: float = Field(default=10.0, ge=0, le=10_000)
    """Minutes of inspection for which an engine that decides for the first time is on trial: where it fails, or the
    station dies meanwhile, the engine before decides again. 0: no trial."""

    @model_validator(mode="after")
    def _fits(self) -> EngineSettings:
        foreign = "fp16" if self.runtime == "openvino" else "bf16"
        if self.precision == foreign:
            raise ValueError(f"runtime '{self.runtime}' computes nothing in {foreign}; use 'auto' or 'f32'")
        if self.threads and self.streams > self.threads:
            raise ValueError(f"streams = {self.streams} is more than threads = {self.threads}; each stream needs one")
        if self.cores and self.threads > len(set(self.cores)):
            raise ValueError(f"threads = {self.threads} is more than cores = {list(self.cores)}; each needs a core")
        if self.require_signature and not self.trusted_keys:
            raise ValueError("require_signature = true trusts nobody without trusted_keys; list files of public keys")
        if self.trusted_keys and not self.require_signature:
            raise ValueError("trusted_keys count for nothing without require_signature = true; set it")
        return self
