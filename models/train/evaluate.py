"""Measures the quantized backbone and its head on photos kept out of everything before.

Nothing is chosen by these figures.

Usage: evaluate.py PHOTOS WORK OUT [--split test]
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import onnxruntime

import photos
from backbone import INPUT, Backbone, cosine
from head import ANIMALS, BEAR

# Reported beside the chosen threshold, for operators who weigh misses and false alerts otherwise.
OTHER_THRESHOLDS = (0.1, 0.2, 0.3, 0.5, 0.7)


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


def features(pixels, network):
    backbone = Backbone(network)
    return np.stack([backbone.features(view) for view in pixels])


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


def alerts(scores, labels, threshold):
    alert = scores[:, BEAR] >= threshold
    return {
        "threshold": threshold,
        "recall": share(alert[labels == BEAR]),
        "false_alerts_other": share(alert[labels == photos.OTHER]),
        "false_alerts_fox_walrus": share(alert[(labels != photos.OTHER) & (labels != BEAR)]),
    }


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
    source = photos.labelled(args.photos, args.split)
    labels = np.array([label for _, label in source])
    pixels = [photos.stretch(photos.load(photo), INPUT) for photo, _ in source]
    vectors = features(pixels, args.out / "backbone.onnx")
    measured = evaluate(probabilities(vectors, args.out / "head" / "head.onnx"), labels, threshold)
    quantization = moved(vectors, features(pixels, args.work / "float" / "backbone.onnx"))
    print(json.dumps({**measured, "quantization": quantization}, indent=1))
    # Only a held-out split's figures may stand in the files that travel.
    if args.split == "test":
        manifest["evaluation"] = measured
        path.write_text(json.dumps(manifest, indent=1) + "\n")
        (args.work / "evaluation.json").write_text(json.dumps({**measured, "quantization": quantization}, indent=1))


if __name__ == "__main__":
    main()
