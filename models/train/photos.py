"""The photos: where they lie, what they are, and how a frame becomes the network's input."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse.csgraph import connected_components

LABELS = ("arctic_fox", "polar_bear", "walrus", "other")
OTHER = LABELS.index("other")
# Correlation of two photos' 16x16 gray versions.
NEARLY_THE_SAME = 0.95


def labelled(photos: Path, split: str):
    """Every photo of a split as (path, label index), in a stable order."""
    return [
        (path, index)
        for index, label in enumerate(LABELS)
        for path in sorted((photos / "wildlife" / split / label).iterdir())
    ]


def distillation_set(photos: Path):
    """The photos a backbone may see: the train split and the unlabelled ones, never the test split."""
    unlabeled = [(path, OTHER) for path in sorted((photos / "unlabeled").iterdir())]
    return labelled(photos, "train") + unlabeled


def digest(paths):
    """Names the set of photos without telling their names: sha256 over the sorted sha256."""
    hashes = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def near_duplicates(images):
    """Numbers photos (square, uint8) so that those which hardly differ share one: they belong on one side of a split."""
    small = [Image.fromarray(image).convert("L").resize((16, 16), Image.Resampling.BOX) for image in images]
    looks = np.stack([np.asarray(image, np.float32).ravel() for image in small])
    looks -= looks.mean(1, keepdims=True)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True).clip(1e-6)
    return connected_components(looks @ looks.T > NEARLY_THE_SAME)[1]


def load(path):
    return Image.open(path).convert("RGB")


def stretch(image, size, box=None):
    """The deployed view: a region (by default all of it) stretched with an antialiased triangle."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


def normalise(pixels):
    """uint8 NHWC pixels to the network's float NCHW input."""
    return np.ascontiguousarray(((pixels.astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2))
