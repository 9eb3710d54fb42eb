"""Random crops with the teacher's answers, computed once and kept as 8-bit memory maps.

Usage: crops.py PHOTOS TEACHER.tflite WORK [--shards N]
"""

import argparse
import json
import multiprocessing
import os
import shutil
import warnings
from pathlib import Path

import numpy as np

import photos
from augment import Look, random_box
from backbone import TRAINED_SIDE

SHARD = 4096
TEACHER_INPUT = 224
# Tensors of the teacher: inner maps after residual sums (tensor: side on the student's grid),
# the pooled features, and the logits.
MAPS = {130: TRAINED_SIDE // 8, 141: TRAINED_SIDE // 16, 156: TRAINED_SIDE // 16, 167: TRAINED_SIDE // 32}
FEATURES, LOGITS = 172, 174
# The animals to be told apart are few: show each of their photos this many times as often.
ANIMAL_WEIGHT = 8
# Blends of two crops: more different inputs than so few photos can give.
MIXED = 0.3


class Teacher:
    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter

        warnings.filterwarnings("ignore", message=".*preserve_all_tensors.*")
        self.net = Interpreter(
            str(path), experimental_preserve_all_tensors=True, num_threads=1
        )
        self.net.allocate_tensors()
        self.input = self.net.get_input_details()[0]["index"]
        details = {tensor["index"]: tensor for tensor in self.net.get_tensor_details()}
        self.quantization = {t: details[t]["quantization"] for t in (*MAPS, FEATURES, LOGITS)}
        self.resample = {t: triangle(int(details[t]["shape"][1]), side) for t, side in MAPS.items()}
        self.channels = {t: int(details[t]["shape"][-1]) for t in (*MAPS, FEATURES, LOGITS)}

    def answers(self, pixels):
        self.net.set_tensor(self.input, pixels[None])
        self.net.invoke()
        out = {t: self.net.get_tensor(t).ravel() for t in (FEATURES, LOGITS)}
        for t, m in self.resample.items():
            rows = np.tensordot(m, self.net.get_tensor(t)[0].astype(np.float32), (1, 0))
            both = np.tensordot(m, rows, (1, 1)).swapaxes(0, 1)
            out[t] = np.rint(both).astype(np.int8)
        return out


def triangle(source, target):
    """Matrix that resamples `source` points to fewer with an antialiased triangle."""
    ratio = source / target
    centres = (np.arange(target) + 0.5) * ratio
    distance = np.abs(np.arange(source)[None] + 0.5 - centres[:, None]) / max(ratio, 1)
    weights = np.clip(1 - distance, 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def crop(rng, image):
    """The same random view at the student's and the teacher's size."""
    box = random_box(rng, *image.size)
    look, flip = Look(rng), rng.random() < 0.5
    views = [look.apply(photos.stretch(image, size, box)) for size in (TRAINED_SIDE, TEACHER_INPUT)]
    return [view[:, ::-1] for view in views] if flip else views


def shard_shapes(teacher):
    shapes = {"images": ((TRAINED_SIDE, TRAINED_SIDE, 3), np.uint8)}
    for t, side in MAPS.items():
        shapes[str(t)] = ((side, side, teacher.channels[t]), np.int8)
    for t in (FEATURES, LOGITS):
        shapes[str(t)] = ((teacher.channels[t],), np.int8)
    return shapes


def write_shard(job):
    number, photo_dir, teacher_path, crops_dir = job
    final, partial = crops_dir / f"{number:03}", crops_dir / f"{number:03}.partial"
    if final.exists():
        return
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    rng = np.random.default_rng(number)
    teacher = Teacher(teacher_path)
    arrays = {
        name: np.lib.format.open_memmap(partial / f"{name}.npy", "w+", dtype, (SHARD, *shape))
        for name, (shape, dtype) in shard_shapes(teacher).items()
    }
    source = photos.distillation_set(photo_dir)
    weights = np.array([1.0 if label == photos.OTHER else ANIMAL_WEIGHT for _, label in source])
    drawn = rng.choice(len(source), (SHARD, 2), p=weights / weights.sum())
    for row, (first, second) in enumerate(drawn):
        small, large = crop(rng, photos.load(source[first][0]))
        if rng.random() < MIXED:
            share = rng.uniform(0.5, 1.0)
            others = crop(rng, photos.load(source[second][0]))
            small, large = (
                (share * a + (1 - share) * b + 0.5).astype(np.uint8)
                for a, b in zip((small, large), others)
            )
        arrays["images"][row] = small
        for t, answer in teacher.answers(large).items():
            arrays[str(t)][row] = answer
    for array in arrays.values():
        array.flush()
    (partial / "quantization.json").write_text(json.dumps(teacher.quantization))
    # Renamed when whole, so that a training run beside it never reads half a shard.
    partial.rename(final)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--shards", type=int, default=28)
    args = parser.parse_args()
    jobs = [
        (n, args.photos, args.teacher, args.work / "crops") for n in range(args.shards)
    ]
    with multiprocessing.Pool(os.cpu_count()) as pool:
        pool.map(write_shard, jobs, chunksize=1)


if __name__ == "__main__":
    main()
