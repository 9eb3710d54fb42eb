"""Gives a float network that export.py once wrote the input side of today: its weights fit any.

Usage: resize.py FLOAT.onnx WORK
"""

import argparse
from pathlib import Path

import onnx

from backbone import FLOAT_ID, INPUT, write_manifest


def resize(model, side):
    """Sets the sides of the image and of the feature map, a thirty-second of it."""
    for value, length in ((model.graph.input[0], side), (model.graph.output[0], side // 32)):
        for dimension in value.type.tensor_type.shape.dim[2:]:
            dimension.dim_value = length
    del model.graph.value_info[:]
    model.graph.name = FLOAT_ID
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("float", type=Path)
    parser.add_argument("work", type=Path)
    args = parser.parse_args()
    path = args.work / "float" / "backbone.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(resize(onnx.load(args.float), INPUT), path)
    write_manifest(path, FLOAT_ID, "8-bit weights, float arithmetic")


if __name__ == "__main__":
    main()
