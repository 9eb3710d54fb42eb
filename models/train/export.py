"""Writes the trained student as ONNX with 8-bit weights and float arithmetic: what `arcticd backbone quantize` starts from.

Usage: export.py WORK
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from backbone import FEATURES, FLOAT_ID, INPUT, TRAINED_SIDE, Backbone, cosine, write_manifest
from crops import FEATURES as TEACHER_FEATURES
from distill import Crops
from student import Student

STATISTICS_BATCHES = 32


def recompute_statistics(student, crops):
    """Batch-norm statistics of the averaged weights: no average over training fits those."""
    norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    student.train()
    with torch.no_grad():
        for _ in range(STATISTICS_BATCHES):
            student(crops.batch(64)[0])
    student.eval()


class Graph:
    """Collects the nodes of the exported network; each method returns its output's name."""

    def __init__(self, eight_bit):
        self.eight_bit, self.nodes, self.tensors = eight_bit, [], []

    def constant(self, name, array):
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def weights(self, name, values):
        if not self.eight_bit:
            return self.constant(f"{name}.weight", values)
        scale = np.abs(values).reshape(len(values), -1).max(1).clip(1e-8) / 127
        levels = np.rint(values / scale[:, None, None, None]).astype(np.int8)
        inputs = [
            self.constant(f"{name}.levels", levels),
            self.constant(f"{name}.scale", scale.astype(np.float32)),
            self.constant(f"{name}.zero", np.zeros(len(values), np.int8)),
        ]
        return self.node("DequantizeLinear", inputs, f"{name}.weight", axis=0)

    def conv(self, x, name, module, output=None):
        """A convolution with its batch norm folded in, and its ReLU where it has one."""
        convolution, norm = module[0], module[1]
        factor = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
        values = (convolution.weight.detach() * factor[:, None, None, None]).numpy()
        bias = (norm.bias - norm.running_mean * factor).detach().numpy()
        inputs = [x, self.weights(name, np.ascontiguousarray(values)), self.constant(f"{name}.bias", bias)]
        side, pad = convolution.kernel_size[0], convolution.padding[0]
        x = self.node(
            "Conv",
            inputs,
            f"{name}.conv",
            kernel_shape=[side, side],
            strides=list(convolution.stride),
            pads=[pad] * 4,
        )
        return self.node("Relu", [x], output or f"{name}.relu") if len(module) == 3 else x


def build(student, side=INPUT, eight_bit=True):
    graph = Graph(eight_bit)
    x = graph.conv("image", "stem", student.stem)
    for s, stage in enumerate(student.stages):
        for b, block in enumerate(stage):
            name, start = f"stage{s}.{b}", x
            x = graph.conv(x, f"{name}.filter", block.body[0])
            x = graph.conv(x, f"{name}.mix", block.body[1])
            if block.residual:
                x = graph.node("Add", [start, x], f"{name}.sum")
    graph.conv(x, "top", student.top, output="feature_map")
    shape = [1, FEATURES, side // 32, side // 32]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            FLOAT_ID,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])],
            [helper.make_tensor_value_info("feature_map", TensorProto.FLOAT, shape)],
            graph.tensors,
        ),
        producer_name="arcticd",
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def measure(backbones, crops):
    """How far 8-bit weights move the features, and how near both are to the teacher's."""
    generator = np.random.default_rng(0)
    shard = crops.shards[0]
    rows = np.sort(generator.choice(len(shard["images"]), 256, replace=False))
    teacher = crops.real(TEACHER_FEATURES, shard[str(TEACHER_FEATURES)][rows]).numpy()
    exact, rounded = (
        np.stack([backbone.features(shard["images"][row]) for row in rows]) for backbone in backbones
    )
    return {
        "eight_bit_relative_error": float(np.linalg.norm(rounded - exact) / np.linalg.norm(exact)),
        "eight_bit_cosine": float(cosine(rounded, exact).mean()),
        "teacher_cosine": float(cosine(rounded, teacher).mean()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    args = parser.parse_args()
    state = torch.load(args.work / "checkpoint.pt")
    student = Student()
    student.load_state_dict(state["smooth"])
    crops = Crops(args.work / "crops", np.random.default_rng(1))
    recompute_statistics(student, crops)

    model = build(student)
    path = args.work / "float" / "backbone.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model)
    write_manifest(path, FLOAT_ID, "8-bit weights, float arithmetic")
    measured = {
        "samples": state["samples"],
        "minutes": round(state["spent"] / 60, 1),
        "crops": sum(len(shard["images"]) for shard in crops.shards),
        "parameters": sum(p.numel() for p in student.parameters()),
        **measure([Backbone(build(student, TRAINED_SIDE, eight_bit)) for eight_bit in (False, True)], crops),
    }
    (args.work / "backbone.json").write_text(json.dumps(measured, indent=1))
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
