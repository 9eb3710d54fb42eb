"""The test photos under harder conditions: without colour, as under infrared at night, and small in a larger scene."""

import numpy as np

import photos
from augment import LUMA
from backbone import INPUT

CONDITIONS = ("as they are", "grey", "half as large, in another scene", "a quarter as large, in another scene")


def gray(pixels):
    return np.repeat((pixels @ LUMA + 0.5).astype(np.uint8)[..., None], 3, axis=2)


def placed(number, image, scene, share):
    """The photo at a share of the frame's sides, somewhere in a scene; the place depends on the photo's number alone."""
    frame = photos.stretch(scene, INPUT).copy()
    side = round(share * INPUT)
    left, top = np.random.default_rng(number).integers(0, INPUT - side, 2)
    frame[top : top + side, left : left + side] = photos.stretch(image, side)
    return frame


def views(job):
    """A photo under each of the CONDITIONS; `scene` is the path of another photo."""
    number, path, scene = job
    image, scene = photos.load(path), photos.load(scene)
    plain = photos.stretch(image, INPUT)
    return plain, gray(plain), placed(number, image, scene, 1 / 2), placed(number, image, scene, 1 / 4)


def scenes(source):
    """For each photo another one of `other`, always the same."""
    others = [path for path, label in source if label == photos.OTHER]
    drawn = np.random.default_rng(0).permutation(len(source))
    return [
        next(other for step in (0, 1) for other in [others[(n + step) % len(others)]] if other != path)
        for n, (path, _) in zip(drawn, source)
    ]
