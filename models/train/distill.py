"""Distils the teacher into the student for a given time, saving and resuming as it goes.

Usage: distill.py WORK --minutes M

The learning rate follows the time spent, not the steps done, so that the run ends annealed
however busy the machine is. One process a core, each with one thread: threads that share one
batch wait for the slowest of them at every operator.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn

from crops import FEATURES, LOGITS, MAPS, SHARD
from student import HINTS, STAGES, Student

# A process: small batches make more of few samples.
BATCH = 24
PEAK_RATE = 2e-3
WARMUP = 0.02
DECAY = 0.02
TEMPERATURE = 2.0
EMA = 0.998
SAVE_EVERY_S = 120
# Smaller images at first: more samples for the same time, while coarse things are learnt.
EARLY_SIDE, EARLY_UNTIL = 128, 0.45


class Crops:
    """The shards written so far; new ones are found while training runs."""

    def __init__(self, directory, rng):
        self.directory, self.rng, self.shards = directory, rng, []
        self.refresh()
        self.quantization = json.loads((directory / "000" / "quantization.json").read_text())

    def refresh(self):
        for path in sorted(self.directory.glob("???"))[len(self.shards) :]:
            names = ("images", *map(str, (*MAPS, FEATURES, LOGITS)))
            self.shards.append({n: np.load(path / f"{n}.npy", mmap_mode="r") for n in names})

    def real(self, tensor, values):
        scale, zero = self.quantization[str(tensor)]
        return torch.from_numpy((values.astype(np.float32) - zero) * np.float32(scale))

    def batch(self, size):
        """Normalised images, the teacher's maps, features and logits; half the batches mirrored."""
        shard = self.shards[self.rng.integers(len(self.shards))]
        rows = np.sort(self.rng.choice(SHARD, size, replace=False))
        mirror = slice(None, None, -1 if self.rng.random() < 0.5 else 1)

        def spatial(name):
            return np.ascontiguousarray(shard[name][rows][:, :, mirror])

        images = (torch.from_numpy(spatial("images")).float() - 127.5) / 127.5
        maps = [self.real(t, spatial(str(t))).permute(0, 3, 1, 2) for t in MAPS]
        features, logits = (self.real(t, shard[str(t)][rows]) for t in (FEATURES, LOGITS))
        return images.permute(0, 3, 1, 2), maps, features, logits


class Trainee(nn.Module):
    """The student with what only training needs: adapters to the teacher's maps and its classes."""

    def __init__(self, crops):
        super().__init__()
        self.student = Student()
        channels = crops.shards[0]
        self.adapters = nn.ModuleList(
            nn.Conv2d(STAGES[stage][0], channels[str(t)].shape[-1], 1)
            for stage, t in zip(HINTS, MAPS)
        )
        first = crops.shards[0]
        features = crops.real(FEATURES, first[str(FEATURES)][:])
        logits = crops.real(LOGITS, first[str(LOGITS)][:])
        # A floor keeps channels that hardly ever fire from ruling the loss.
        variance = features.var(0)
        self.register_buffer("weight", 1 / (variance + 0.1 * variance.mean()))
        # The teacher's own last layer, recovered by least squares: errors of the student's
        # features weigh as much as they change the classes.
        design = torch.cat([features, torch.ones(len(features), 1)], 1)
        ridge = 1e-3 * len(features) * variance.mean() * torch.eye(design.shape[1])
        self.register_buffer("classes", torch.linalg.solve(design.T @ design + ridge, design.T @ logits))
        self.register_buffer(
            "map_variance",
            torch.stack([crops.real(t, first[str(t)][:256]).var() for t in MAPS]),
        )

    def forward(self, images, maps, features, logits, progress):
        if progress < EARLY_UNTIL:
            images = F.interpolate(images, size=EARLY_SIDE, mode="bilinear", antialias=True)
        with torch.autocast("cpu", torch.bfloat16):
            feature_map, hints = self.student(images)
            guesses = [adapt(hint) for adapt, hint in zip(self.adapters, hints)]
        pooled = feature_map.float().mean((2, 3))
        hint_loss = sum(
            F.mse_loss(guess.float(), F.adaptive_avg_pool2d(target, guess.shape[2:])) / variance
            for guess, target, variance in zip(guesses, maps, self.map_variance)
        )
        feature_loss = ((pooled - features) ** 2 * self.weight).mean()
        answers = pooled @ self.classes[:-1] + self.classes[-1]
        class_loss = TEMPERATURE**2 * F.kl_div(
            F.log_softmax(answers / TEMPERATURE, 1),
            F.log_softmax(logits / TEMPERATURE, 1),
            reduction="batchmean",
            log_target=True,
        )
        # The inner maps lead at first; the features are what counts in the end.
        total = (1 - 0.9 * progress) * hint_loss + 4 * feature_loss + class_loss
        return total, torch.stack([hint_loss, feature_loss, class_loss]).detach()


def rate(progress):
    if progress < WARMUP:
        return PEAK_RATE * (0.02 + progress / WARMUP)
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))


def average(tensors, world):
    """Averages the tensors over the processes in one message."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world
    offset = 0
    for tensor in tensors:
        tensor.copy_(flat[offset : offset + tensor.numel()].view_as(tensor))
        offset += tensor.numel()


def save(path, state):
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(path)


def worker(rank, world, work, minutes):
    torch.set_num_threads(1)
    store = f"file://{work / 'rendezvous'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    torch.manual_seed(0)
    crops = Crops(work / "crops", np.random.default_rng([rank, int(time.time())]))
    trainee = Trainee(crops).to(memory_format=torch.channels_last)
    parameters = list(trainee.parameters())
    decayed = [p for p in parameters if p.ndim > 1]
    plain = [p for p in parameters if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}],
        fused=True,
    )
    smooth = {k: v.clone() for k, v in trainee.student.state_dict().items()}
    spent, samples, step = 0.0, 0, 0
    checkpoint = work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        trainee.load_state_dict(state["trainee"])
        optimizer.load_state_dict(state["optimizer"])
        smooth = state["smooth"]
        spent, samples, step = state["spent"], state["samples"], state["step"]

    last, saved, means = time.monotonic(), time.monotonic(), None
    while True:
        # One clock for all processes, or they would disagree on when to stop.
        clock = torch.tensor([spent])
        dist.broadcast(clock, 0)
        progress = clock.item() / (60 * minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate(progress)
        loss, parts = trainee(*crops.batch(BATCH), progress)
        optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            average([p.grad for p in parameters], world)
        optimizer.step()
        step += 1
        samples += BATCH * world
        now = time.monotonic()
        spent, last = spent + now - last, now
        means = parts if means is None else means + 0.02 * (parts - means)
        if step % 200 == 0:
            crops.refresh()
        if rank == 0:
            decay = min(EMA, 1 - 10 / (step + 10))
            for name, value in trainee.student.state_dict().items():
                smooth[name].lerp_(value, 1 - decay) if value.is_floating_point() else None
            if step % 100 == 0:
                print(
                    f"{spent / 60:.1f} min, step {step}, {samples} samples, {len(crops.shards)} shards,"
                    f" hints {means[0]:.3f}, features {means[1]:.3f}, classes {means[2]:.3f}",
                    flush=True,
                )
            if now - saved > SAVE_EVERY_S:
                saved = now
                save(checkpoint, snapshot(trainee, optimizer, smooth, spent, samples, step))
    if rank == 0:
        save(checkpoint, snapshot(trainee, optimizer, smooth, spent, samples, step))
    dist.barrier()
    dist.destroy_process_group()


def snapshot(trainee, optimizer, smooth, spent, samples, step):
    return {
        "trainee": trainee.state_dict(),
        "optimizer": optimizer.state_dict(),
        "smooth": smooth,
        "spent": spent,
        "samples": samples,
        "step": step,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--processes", type=int, default=mp.cpu_count())
    args = parser.parse_args()
    (args.work / "rendezvous").unlink(missing_ok=True)
    arguments = (args.processes, args.work.resolve(), args.minutes)
    mp.spawn(worker, arguments, nprocs=args.processes)


if __name__ == "__main__":
    main()
