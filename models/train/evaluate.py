"""Measures the quantized backbone and its head on photos kept out of everything before.

Nothing is chosen by these figures. The 5-fold figure alone also uses the animals of the train split.

Usage: evaluate.py PHOTOS WORK OUT [--split test]
"""

import argparse
import functools
import json
import math
import multiprocessing
from pathlib import Path

import numpy as np
import onnxruntime

import photos
from backbone import INPUT, cosine
from conditions import CONDITIONS, scenes, views
from five_fold import five_fold
from head import ANIMALS, BEAR, load_once

# Reported beside the chosen threshold, for operators who weigh misses and false alerts otherwise.
OTHER_THRESHOLDS = (0.1, 0.2, 0.3, 0.5, 0.7)
# Bears found when so many of the `other` photos alert falsely: how well they are told apart, whatever the threshold.
FALSE_ALERT_RATES = (0.001, 0.005, 0.01, 0.02)


def wilson(hits, total):
    """95 % interval of a proportion; unlike the normal one it is honest for few photos."""
    z, p = 1.96, hits / total
    centre = p + z * z / (2 * total)
    spread = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return [round((centre - spread) / scale, 4), round((centre + spread) / scale, 4)]


def share(mask):
    hits, total = int(mask.sum()), len(mask)
    return {
        "hits": hits,
        "of": total,
        "share": round(hits / total, 4),
        "wilson_95": wilson(hits, total),
    }


def features(pool, pixels, network):
    return np.stack(pool.map(functools.partial(one_photo, network), pixels, chunksize=16))


def one_photo(network, pixels):
    return load_once(network).features(pixels)


def probabilities(vectors, head):
    session = onnxruntime.InferenceSession(str(head))
    return np.stack([session.run(["probabilities"], {"features": row[None]})[0][0] for row in vectors])


def moved(quantized, exact):
    """How far quantization moves the features of photos."""
    cosines = cosine(quantized, exact)
    return {
        "relative_error": float(np.linalg.norm(quantized - exact) / np.linalg.norm(exact)),
        "cosine_mean": float(cosines.mean()),
        "cosine_min": float(cosines.min()),
    }


def verdicts(quantized, exact, labels):
    """What the same head makes of the quantized and of the exact features."""
    return {
        "accuracy": float((quantized.argmax(1) == labels).mean()),
        "accuracy_exact": float((exact.argmax(1) == labels).mean()),
        "agree": share(quantized.argmax(1) == exact.argmax(1)),
    }


def alerts(scores, labels, threshold):
    alert = scores[:, BEAR] >= threshold
    return {
        "threshold": threshold,
        "recall": share(alert[labels == BEAR]),
        "false_alerts_other": share(alert[labels == photos.OTHER]),
        "false_alerts_fox_walrus": share(alert[(labels != photos.OTHER) & (labels != BEAR)]),
    }


def found_at_rates(scores, labels):
    """The bears above the highest scores of `other`, when a given share of those may lie above, too."""
    others = np.sort(scores[labels == photos.OTHER, BEAR])[::-1]
    bears = scores[labels == BEAR, BEAR]
    return [{"rate": rate, "found": share(bears > others[int(rate * len(others))])} for rate in FALSE_ALERT_RATES]


def under(condition, scores, labels, threshold):
    animal = labels != photos.OTHER
    right = scores[:, ANIMALS].argmax(1) == labels
    return {"condition": condition, "animals": share(right[animal]), **alerts(scores, labels, threshold)}


def evaluate(scores, labels, threshold):
    named = scores.argmax(1)
    classes = range(len(photos.LABELS))
    confusion = [[int(((labels == t) & (named == n)).sum()) for n in classes] for t in classes]
    animal = labels != photos.OTHER
    right = scores[:, ANIMALS].argmax(1) == labels
    return {
        "images": len(labels),
        "labels": list(photos.LABELS),
        "balanced_accuracy": round(
            float(np.mean([row[i] / sum(row) for i, row in enumerate(confusion)])), 4
        ),
        "confusion": confusion,
        "animals": share(right[animal]),
        "each_animal": {photos.LABELS[c]: share(right[labels == c]) for c in classes if c != photos.OTHER},
        "operating_point": {
            "label": photos.LABELS[BEAR],
            **alerts(scores, labels, threshold),
            "others": [alerts(scores, labels, t) for t in OTHER_THRESHOLDS],
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="test")
    args = parser.parse_args()
    path = args.out / "head" / "manifest.json"
    manifest = json.loads(path.read_text())
    threshold = manifest["labels"][BEAR]["threshold"]
    strength = json.loads((args.work / "head.json").read_text())["strength"]
    source = photos.labelled(args.photos, args.split)
    labels = np.array([label for _, label in source])
    head, network = args.out / "head" / "head.onnx", args.out / "backbone.onnx"
    with multiprocessing.Pool() as pool:
        jobs = [(n, path, scene) for n, ((path, _), scene) in enumerate(zip(source, scenes(source)))]
        pixels = list(zip(*pool.map(views, jobs, chunksize=16)))
        vectors = [features(pool, version, network) for version in pixels]
        exact = features(pool, pixels[0], args.work / "float" / "backbone.onnx")
        known = [(path, label) for path, label in photos.labelled(args.photos, "train") if label != photos.OTHER]
        known_pixels = [photos.stretch(photos.load(path), INPUT) for path, _ in known]
        known_vectors = features(pool, known_pixels, network)
    scores = [probabilities(version, head) for version in vectors]
    measured = evaluate(scores[0], labels, threshold)
    animal = labels != photos.OTHER
    further = {
        "conditions": [under(name, s, labels, threshold) for name, s in zip(CONDITIONS, scores)],
        "found_at_rates": found_at_rates(scores[0], labels),
        "five_fold": five_fold(
            np.concatenate([known_vectors, vectors[0][animal]]),
            known_pixels + [photo for photo, wanted in zip(pixels[0], animal) if wanted],
            np.concatenate([[label for _, label in known], labels[animal]]),
            strength,
        ),
        "quantization": {**moved(vectors[0], exact), **verdicts(scores[0], probabilities(exact, head), labels)},
    }
    print(json.dumps({**measured, **further}, indent=1))
    # Only a held-out split's figures may stand in the files that travel.
    if args.split == "test":
        manifest["evaluation"] = measured
        path.write_text(json.dumps(manifest, indent=1) + "\n")
        (args.work / "evaluation.json").write_text(json.dumps({**measured, **further}, indent=1))


if __name__ == "__main__":
    main()
