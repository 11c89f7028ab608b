"""Lamps, lens and camera: from radiance to grey values.

Promises: a pure function of place; the same cloth seen with another seed has other noise but the same optics family.
What is modelled: a lamp bar that is uneven across the web and breathes slowly, the fall-off of the lens towards the
edges, pixels of unequal gain, photon noise (variance proportional to the signal) and read noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.loom.noise import key_of, uniform, wave

FULL_WELL_ELECTRONS = 20_000.0
READ_NOISE_DN = 0.6
PIXEL_GAIN_SPREAD = 0.004
LENS_FALL_OFF = 0.10
LAMP_UNEVENNESS = 0.09
LAMP_BREATHING = 0.008
EXPOSURE_DN = 215.0
"""Grey value of radiance 1 in the middle of the line."""


class LineCamera:
    """Optics and sensor of one simulated camera."""

    def __init__(self, width_px: int, seed: int) -> None:
        self._key = key_of(seed, "camera")
        across = np.linspace(-1, 1, width_px)
        coefficient = 2 * uniform(key_of(self._key, "lamp"), np.arange(3)) - 1
        lamp = 1 + LAMP_UNEVENNESS * (coefficient[0] * across + coefficient[1] * across**3)
        lamp += 0.3 * LAMP_UNEVENNESS * np.sin(3.1 * np.pi * across + 6 * coefficient[2])
        lens = (1 - LENS_FALL_OFF) + LENS_FALL_OFF * (1 - across**2)
        pixels = np.random.Generator(np.random.Philox(key=key_of(self._key, "pixels")))
        gain = 1 + PIXEL_GAIN_SPREAD * pixels.standard_normal(width_px)
        self._response = (EXPOSURE_DN * lamp * lens * gain).astype(np.float32)

    def illuminate(self, radiance: NDArray[np.float32], first_line: int) -> NDArray[np.float32]:
        """Noise-free signal in grey values (unclipped) of radiance (n_lines, width)."""
        lines = np.arange(first_line, first_line + radiance.shape[0])
        breath = 1 + LAMP_BREATHING * wave(key_of(self._key, "breath"), np.array([0]), lines / 700.0)
        return np.asarray(radiance * self._response * breath.T, dtype=np.float32)

    def expose(self, signal: NDArray[np.float32], first_line: int) -> NDArray[np.uint8]:
        """Grey values uint8 with noise; a line's noise depends on its number alone."""
        photon = 255.0 / FULL_WELL_ELECTRONS
        out = np.empty(signal.shape, np.uint8)
        key = key_of(self._key, "noise")
        for row, line in enumerate(range(first_line, first_line + signal.shape[0])):
            noise = np.random.Generator(np.random.Philox(key=key, counter=line << 64)).standard_normal(
                signal.shape[1], dtype=np.float32
            )
            sigma = np.sqrt(READ_NOISE_DN**2 + photon * np.maximum(signal[row], 0))
            out[row] = np.clip(np.rint(signal[row] + sigma * noise), 0, 255)
        return out
