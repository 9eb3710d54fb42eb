"""What onnxruntime makes of a network: the reference for arcticd's integer operators.

    python reference.py NETWORK.onnx INPUTS.f32 OUT_FOLDER [--output TENSOR ...] [--modes exact,default]

INPUTS holds n pictures, raw little-endian f32 in the layout of the network's input (batch 1). For each mode and tensor the
script writes n results, raw f32 too, to OUT_FOLDER/MODE.INDEX.f32, and prints one line of JSON: versions, n, and per tensor
its shape and, where the file quantizes it, that scale. A tensor that is no output of the graph becomes one; without
`--output` the graph's own are taken.

Modes. `exact`: the integer kernels without saturation of 16-bit sums. `default`: as users run it; on x86 without VNNI the
sum of two u8 x s8 products saturates at 16 bits. `float`: nothing fused, the Q and DQ nodes around float operators as the
ONNX standard words them.
"""

import argparse
import json
import pathlib

import numpy as np
import onnx
import onnxruntime


def options(mode):
    """Session options of a mode; one thread."""
    chosen = onnxruntime.SessionOptions()
    chosen.log_severity_level = 3
    chosen.intra_op_num_threads = chosen.inter_op_num_threads = 1
    if mode == "exact":
        chosen.add_session_config_entry("session.x64quantprecision", "1")
    elif mode == "float":
        chosen.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return chosen


def cut(path, tensors):
    """The network with `tensors` as its outputs, serialized."""
    model = onnx.load(path)
    known = {name for node in model.graph.node for name in node.output}
    for tensor in tensors:
        if tensor not in known:
            raise SystemExit(f"{path}: no node gives a tensor named {tensor}")
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in tensors)
    return model.SerializeToString()


def scales(path):
    """Scale of each tensor that the file quantizes as a whole, before and after."""
    graph = onnx.load(path).graph
    constants = {constant.name: constant for constant in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[1] in constants:
            scale = onnx.numpy_helper.to_array(constants[node.input[1]])
            if scale.size == 1:
                found[node.input[0]] = found[node.output[0]] = float(scale.reshape(()))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=pathlib.Path)
    parser.add_argument("inputs", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--output", action="append", dest="tensors")
    parser.add_argument("--modes", default="exact,default")
    arguments = parser.parse_args()

    outputs = [output.name for output in onnx.load(arguments.network).graph.output]
    tensors = arguments.tensors or outputs
    network = cut(arguments.network, tensors)
    shapes = None
    for mode in arguments.modes.split(","):
        session = onnxruntime.InferenceSession(network, options(mode), ["CPUExecutionProvider"])
        entrance = session.get_inputs()[0]
        shape = [1, *entrance.shape[1:]]
        inputs = np.fromfile(arguments.inputs, "<f4").reshape(-1, *shape)
        results = [session.run(tensors, {entrance.name: picture}) for picture in inputs]
        for index, values in enumerate(zip(*results)):
            np.stack(values).astype("<f4").tofile(arguments.out / f"{mode}.{index}.f32")
        shapes = [list(value.shape) for value in results[0]]
    known = scales(arguments.network)
    print(json.dumps({
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "n": len(inputs),
        "outputs": [
            {"tensor": tensor, "shape": shape, "scale": known.get(tensor)}
            for tensor, shape in zip(tensors, shapes)
        ],
    }))


if __name__ == "__main__":
    main()
