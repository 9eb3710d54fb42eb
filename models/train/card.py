"""Writes the model card from the figures that the other steps measured.

Usage: card.py PHOTOS WORK OUT
"""

import argparse
import json
from pathlib import Path
from string import Template

import photos
from backbone import ID, INPUT, TRAINED_SIDE


def percent(value):
    return f"{100 * value:.1f} %"


def proportion(measured):
    low, high = measured["wilson_95"]
    return (
        f"{measured['hits']} of {measured['of']} = {percent(measured['share'])}"
        f" (95 % interval {percent(low)} to {percent(high)})"
    )


def table(labels, confusion):
    lines = ["| truth \\ named | " + " | ".join(labels) + " |", "|---|" + "---|" * len(labels)]
    lines += [f"| {label} | " + " | ".join(map(str, row)) + " |" for label, row in zip(labels, confusion)]
    return "\n".join(lines)


def cell(share):
    return f"{share['hits']} of {share['of']}"


def other_thresholds(measured):
    lines = ["| threshold | polar bears found | false alerts, `other` | foxes and walruses |", "|---|---|---|---|"]
    lines += [
        f"| {m['threshold']:.2f} | {cell(m['recall'])} | {cell(m['false_alerts_other'])}"
        f" | {cell(m['false_alerts_fox_walrus'])} |"
        for m in measured
    ]
    return "\n".join(lines)


def conditions(measured):
    lines = ["| photos | animals named | polar bears found | false alerts, `other` |", "|---|---|---|---|"]
    lines += [
        f"| {m['condition']} | {cell(m['animals'])} | {cell(m['recall'])} | {cell(m['false_alerts_other'])} |"
        for m in measured
    ]
    return "\n".join(lines)


def found_at_rates(measured):
    lines = ["| false alerts allowed on `other` | polar bears found |", "|---|---|"]
    lines += [f"| {percent(m['rate'])} | {cell(m['found'])} |" for m in measured]
    return "\n".join(lines)


def mistakes(labels, confusion):
    """The confusions among the classes, the most frequent share first."""
    pairs = [
        (row[n] / sum(row), row[n], sum(row), labels[t], labels[n])
        for t, row in enumerate(confusion)
        for n in range(len(labels))
        if n != t and row[n]
    ]
    pairs.sort(reverse=True)
    return "\n".join(
        f"  - {truth} taken for {named}: {count} of {total} ({percent(share)})"
        for share, count, total, truth, named in pairs[:6]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    backbone, quantization, head, test = (
        json.loads((args.work / f"{name}.json").read_text())
        for name in ("backbone", "quantization", "head", "evaluation")
    )
    taken, moved = quantization["taken"], test["quantization"]
    noise = [layer["sqnr_db"] for layer in quantization["layers"]]
    point, held_out = test["operating_point"], head["operating_point"]
    train = [label for _, label in photos.labelled(args.photos, "train")]
    counts = ", ".join(f"{train.count(i)} {name}" for i, name in enumerate(photos.LABELS))
    text = Template((Path(__file__).parent / "model_card.md.in").read_text()).substitute(
        id=ID,
        side=INPUT,
        trained_side=TRAINED_SIDE,
        parameters=f"{backbone['parameters'] / 1e6:.2f}",
        megabytes=f"{(args.out / 'backbone.onnx').stat().st_size / 1e6:.2f}",
        weights_error=percent(backbone["eight_bit_relative_error"]),
        calibration_photos=quantization["photos"],
        method=taken["method"].replace("_", " "),
        equalized="with" if taken["equalized"] else "without",
        corrected="with" if taken["bias_corrected"] else "without",
        sqnr=f"{min(noise):.1f} to {max(noise):.1f} dB",
        error=percent(moved["relative_error"]),
        cosine=f"{moved['cosine_mean']:.4f}",
        cosine_min=f"{moved['cosine_min']:.4f}",
        teacher_cosine=f"{backbone['teacher_cosine']:.3f}",
        counts=counts,
        train_photos=len(train),
        unlabeled=len(photos.distillation_set(args.photos)) - len(train),
        crops=f"{backbone['crops']:,}",
        samples=f"{backbone['samples']:,}",
        minutes=f"{backbone['minutes']:.0f}",
        test_photos=test["images"],
        animals=proportion(test["animals"]),
        each_animal="\n".join(
            f"| {name} | {proportion(measured)} |" for name, measured in test["each_animal"].items()
        ),
        balanced=percent(test["balanced_accuracy"]),
        confusion=table(test["labels"], test["confusion"]),
        mistakes=mistakes(test["labels"], test["confusion"]),
        threshold=f"{point['threshold']:.2f}",
        recall=proportion(point["recall"]),
        false_other=proportion(point["false_alerts_other"]),
        false_animals=proportion(point["false_alerts_fox_walrus"]),
        others=other_thresholds(point["others"]),
        rates=found_at_rates(test["found_at_rates"]),
        conditions=conditions(test["conditions"]),
        five_fold=percent(test["five_fold"]["share"]),
        five_fold_photos=test["five_fold"]["photos"],
        five_fold_right=", ".join(map(str, test["five_fold"]["right"])),
        draws=len(test["five_fold"]["right"]),
        accuracy=percent(moved["accuracy"]),
        accuracy_exact=percent(moved["accuracy_exact"]),
        agree=cell(moved["agree"]),
        cv_animals=f"{head['animals_right']} of {head['animals']}",
        cv_recall=percent(held_out["recall"]),
        cv_recall_views=percent(held_out["recall_of_all_views"]),
        cv_false=percent(held_out["false_alerts_other"]),
        cv_false_views=percent(held_out["false_alerts_of_all_views"]),
        strength=f"{head['strength']:g}",
        temperature=f"{head['temperature']:.2f}",
        views=f"{head['views']:,}",
    )
    (args.out / "MODEL_CARD.md").write_text(text)


if __name__ == "__main__":
    main()
