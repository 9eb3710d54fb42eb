"""What a camera trap may do to a frame: another framing, light, colour, or infrared at night."""

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def random_box(rng, width, height, smallest=0.2):
    """The whole frame three times in ten (the deployed view), else a part of its area."""
    if rng.random() < 0.3:
        return (0, 0, width, height)
    area = rng.uniform(smallest, 1.0)
    aspect = np.exp(rng.uniform(-0.4, 0.4))
    w = min(1.0, np.sqrt(area * aspect)) * width
    h = min(1.0, np.sqrt(area / aspect)) * height
    left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return (left, top, left + w, top + h)


class Look:
    """One drawn change of light and colour, applied alike to every size of the same crop."""

    def __init__(self, rng, infrared=None):
        self.infrared = rng.random() < 0.12 if infrared is None else infrared
        self.plain = not self.infrared and rng.random() < 0.35
        self.gamma = np.exp(rng.uniform(-0.5, 0.5))
        self.gain = rng.uniform(0.6, 1.4)
        self.contrast = rng.uniform(0.65, 1.35)
        self.saturation = rng.uniform(0.4, 1.5)
        self.tint = rng.uniform(0.9, 1.1, 3).astype(np.float32)
        self.vignette = rng.uniform(0.3, 1.0)
        self.noise = rng.uniform(0, 0.03)
        self.seed = int(rng.integers(1 << 31))

    def apply(self, pixels):
        if self.plain:
            return pixels
        x = pixels.astype(np.float32) / 255
        gray = x @ LUMA
        if self.infrared:
            x = np.repeat(gray[..., None], 3, axis=2)
        else:
            x = (gray[..., None] + self.saturation * (x - gray[..., None])) * self.tint
        mean = float(gray.mean())
        x = np.clip((mean + self.contrast * (x - mean)) * self.gain, 0, 1) ** self.gamma
        if self.infrared:
            # A flash lights the middle and a small sensor is noisy.
            side = np.linspace(-1, 1, x.shape[0], dtype=np.float32) ** 2
            x *= (1 - (1 - self.vignette) * (side[:, None] + side[None, :]) / 2)[..., None]
            grain = np.random.default_rng(self.seed).standard_normal(x.shape[:2], np.float32)
            x += self.noise * grain[..., None]
        return (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)
