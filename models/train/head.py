"""Fits the default head on the quantized backbone's features and chooses its operating point.

Usage: head.py PHOTOS WORK OUT

Only photos of the train split are used here, also for every choice: the strength of the
regularisation, the temperature and the alert threshold come from cross-validation over photos.
"""

import argparse
import functools
import hashlib
import json
import multiprocessing
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

import photos
from augment import Look, random_box
from backbone import FEATURES, ID, INPUT, Backbone

BEAR = photos.LABELS.index("polar_bear")
ANIMALS = slice(0, photos.OTHER)
# Views a photo: the deployed one, its mirror image, and the rest random.
VIEWS = {"animal": 24, "other": 3}
FOLDS = 5
STRENGTHS = (3e-4, 1e-3, 3e-3)
# The share of false alerts to aim at: half of what new photos may show, since cross-validation sees photos that the
# backbone was trained on. Never above one half: a missed bear costs more than a false alert.
FALSE_ALERTS = 0.005
SANE_THRESHOLDS = (0.2, 0.5)


def views(rng, image, count):
    plain = photos.stretch(image, INPUT)
    yield plain
    yield plain[:, ::-1]
    for _ in range(count - 2):
        box = random_box(rng, *image.size, smallest=0.4)
        view = Look(rng).apply(photos.stretch(image, INPUT, box))
        yield view[:, ::-1] if rng.random() < 0.5 else view


def photo_features(job):
    group, path, label, backbone = job
    rng = np.random.default_rng(group)
    count = VIEWS["other" if label == photos.OTHER else "animal"]
    net = load_once(backbone)
    return [net.features(np.ascontiguousarray(view)) for view in views(rng, photos.load(path), count)]


def small(path):
    return photos.stretch(photos.load(path), 64)


@functools.cache
def load_once(backbone):
    return Backbone(backbone)


def collect(pool, photo_dir, backbone):
    """Features, labels, near-duplicates' numbers and photo numbers of all views; a photo's first view is the deployed one."""
    source = photos.labelled(photo_dir, "train")
    alike = photos.near_duplicates(pool.map(small, [path for path, _ in source], chunksize=16))
    jobs = [(group, path, label, backbone) for group, (path, label) in enumerate(source)]
    found = pool.map(photo_features, jobs, chunksize=16)
    labels = [label for (_, label), vectors in zip(source, found) for _ in vectors]
    numbers = np.array([number for number, vectors in enumerate(found) for _ in vectors])
    return np.concatenate(found), np.array(labels), alike[numbers], numbers


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def fit(features, labels, strength):
    """A balanced logistic regression with the standardisation folded in: (weights, bias)."""
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    model.fit((features - mean) / deviation, labels)
    weights = model.coef_.T / deviation[:, None]
    return weights, model.intercept_ - mean @ weights


@threadpool_limits.wrap(limits=1)
def held_out_logits(features, labels, groups, strength):
    logits = np.zeros((len(labels), len(photos.LABELS)))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(features, labels, groups):
        weights, bias = fit(features[train], labels[train], strength)
        logits[test] = features[test] @ weights + bias
    return logits


def balanced_log_loss(logits, labels):
    log = np.log(softmax(logits)[np.arange(len(labels)), labels].clip(1e-12))
    return -np.mean([log[labels == label].mean() for label in range(len(photos.LABELS))])


def temperature(logits, labels):
    def loss(log_t):
        return balanced_log_loss(logits / np.exp(log_t), labels)

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def operating_point(probabilities, labels, deployed):
    """The lowest sane threshold with no more than FALSE_ALERTS on views of `other`, and what it finds."""
    bears = probabilities[labels == BEAR, BEAR]
    others = probabilities[labels == photos.OTHER, BEAR]
    lowest = np.ceil(np.quantile(others, 1 - FALSE_ALERTS) * 100) / 100
    threshold = float(np.clip(lowest, *SANE_THRESHOLDS).round(2))
    alerts = probabilities[deployed, BEAR] >= threshold
    truth = labels[deployed]
    return {
        "threshold": threshold,
        "recall": float(alerts[truth == BEAR].mean()),
        "recall_of_all_views": float((bears >= threshold).mean()),
        "false_alerts_other": float(alerts[truth == photos.OTHER].mean()),
        "false_alerts_of_all_views": float((others >= threshold).mean()),
    }


def build(weights, bias):
    classes = len(photos.LABELS)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["features", "weights", "bias"], ["logits"], name="logits"),
            helper.make_node("Softmax", ["logits"], ["probabilities"], name="probabilities", axis=1),
        ],
        "head",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, FEATURES])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, classes])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "weights"),
            numpy_helper.from_array(bias.astype(np.float32), "bias"),
        ],
    )
    opset = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, producer_name="arcticd", opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def manifest(photo_dir, backbone, model, measured):
    def label(name):
        if name == "other":
            return {"name": name, "background": True}
        alert = name == "polar_bear"
        threshold = measured["operating_point"]["threshold"] if alert else 0.5
        return {"name": name, "alert": alert, "threshold": threshold}

    paths = [path for path, _ in photos.labelled(photo_dir, "train")]
    return {
        "format": 1,
        "name": "arctic-default",
        "version": "0.3.0",
        "sequence": 3,
        "created_at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "backbone": {
            "id": ID,
            "sha256": hashlib.sha256(backbone).hexdigest(),
            "features": FEATURES,
        },
        "labels": [label(name) for name in photos.LABELS],
        "files": {
            "head.onnx": {"size": len(model), "sha256": hashlib.sha256(model).hexdigest()}
        },
        # Filled in by evaluate.py, once the head is final.
        "evaluation": {},
        "trained_on": {"photos": len(paths), "digest": photos.digest(paths)},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    backbone = (args.out / "backbone.onnx").read_bytes()
    with multiprocessing.Pool() as pool:
        features, labels, groups, numbers = collect(pool, args.photos, args.out / "backbone.onnx")
        held_out = pool.map(
            functools.partial(held_out_logits, features, labels, groups), STRENGTHS, chunksize=1
        )
    deployed = np.unique(numbers, return_index=True)[1]
    truth = labels[deployed]

    trials = {}
    for strength, logits in zip(STRENGTHS, held_out):
        # Compared at their best temperatures, as each would be deployed.
        heat = temperature(logits[deployed], truth)
        loss = balanced_log_loss(logits[deployed] / heat, truth)
        trials[strength] = (loss, heat, logits)
        print(f"strength {strength:g}: held-out log loss {loss:.4f}, temperature {heat:.2f}", flush=True)
    strength = min(trials, key=lambda s: trials[s][0])
    loss, heat, logits = trials[strength]
    probabilities = softmax(logits / heat)
    is_animal = truth != photos.OTHER
    named = probabilities[deployed][is_animal][:, ANIMALS].argmax(1)
    measured = {
        "views": len(labels),
        "strength": strength,
        "temperature": heat,
        "log_loss": loss,
        "animals": int(is_animal.sum()),
        "animals_right": int((named == truth[is_animal]).sum()),
        "operating_point": operating_point(probabilities, labels, deployed),
    }
    weights, bias = fit(features, labels, strength)
    model = build(weights / heat, bias / heat)
    folder = args.out / "head"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "head.onnx").write_bytes(model)
    contents = manifest(args.photos, backbone, model, measured)
    (folder / "manifest.json").write_text(json.dumps(contents, indent=1) + "\n")
    (args.work / "head.json").write_text(json.dumps(measured, indent=1))
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
