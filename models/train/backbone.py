"""The network that ships: its name, its shapes, and how it is run wherever something is measured."""

import hashlib

import numpy as np
import onnxruntime

from photos import normalise

FEATURES = 1280
# Training shows parts of photos, which magnifies animals; whole frames at more pixels show them at the size that was learnt
# (Touvron et al., "Fixing the train-test resolution discrepancy", 2019).
TRAINED_SIDE, INPUT = 160, 192
ID = f"arcticnet-{INPUT}-v3"
FLOAT_ID = f"arcticnet-{INPUT}-float"
# Of the self-test's features. Rounding to 8 bits has ties: onnxruntime's two exact orders of computing (integers; floats between
# levels) are up to 0.013 apart there, the daemon lies between them, and sums that saturate are 0.09 off.
TOLERANCE = 0.02


class Backbone:
    """A network's feature map, averaged over places, in onnxruntime; everything measured is measured on this.

    By default onnxruntime adds pairs of 8-bit products in 16 bits on x86-64 without VNNI, where they overflow.
    The daemon adds in 32 bits, so onnxruntime is told to do the same.
    """

    def __init__(self, model):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.x64quantprecision", "1")
        source = model if isinstance(model, bytes) else str(model)
        self.session = onnxruntime.InferenceSession(source, options, ["CPUExecutionProvider"])

    def features(self, pixels):
        """uint8 pixels [side, side, 3] to FEATURES numbers."""
        (feature_map,) = self.session.run(["feature_map"], {"image": normalise(pixels[None])})
        return feature_map[0].mean((1, 2))


def self_test_pixels():
    """The pattern the daemon generates for its own check."""
    y, x, c = np.mgrid[0:INPUT, 0:INPUT, 0:3]
    return ((31 * x + 17 * y + 85 * c + x * y) % 256).astype(np.uint8)


def write_manifest(path, identity, arithmetic):
    """Writes the manifest of the network at `path` beside it; its self-test holds onnxruntime's numbers."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    features = Backbone(path).features(self_test_pixels())
    first = ", ".join(f"{value:.6f}" for value in features[:16])
    text = f"""format = 1
id = "{identity}"
description = "Dense residual network of {INPUT}x{INPUT} frames, distilled from an ImageNet MobileNetV2; {arithmetic}"
file = "{path.name}"
sha256 = "{sha256}"
licence = "MIT OR Apache-2.0"

[input]
width = {INPUT}
height = {INPUT}
layout = "nchw"
channels = "rgb"
filter = "triangle"
fit = "stretch"
preprocessing = "symmetric"

[output]
cut = "feature_map"
pooling = "average"
features = {FEATURES}

# pixel(x, y, c) = (31 x + 17 y + 85 c + x y) mod 256, and its features in onnxruntime without saturating sums.
[self_test]
first = [{first}]
mean = {features.mean():.6f}
tolerance = {TOLERANCE}
"""
    path.with_suffix(".toml").write_text(text)


def cosine(a, b):
    """Cosine of each row of `a` with the same row of `b`."""
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
