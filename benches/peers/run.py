"""arcticd against onnxruntime and LiteRT: the same network, the same picture, one thread each, in turns.

    python run.py --arcticd target/release/arcticd --backbone MODEL.toml [--tflite MODEL.tflite] [--rounds 60]

Prints one line of JSON; README.md beside this file says what is in it and how it is measured.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

# `(pixel - mean) * scale` per RGB channel, as arcticd's manifests name them.
TORCH_MEAN, TORCH_STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CAFFE_MEAN = np.array([123.68, 116.779, 103.939])
PREPROCESSING = {
    "symmetric": (127.5, 1 / 127.5),
    "zero_to_one": (0, 1 / 255),
    "torch": (TORCH_MEAN * 255, 1 / (TORCH_STD * 255)),
    "caffe": (CAFFE_MEAN, 1),
    "caffe_over255": (CAFFE_MEAN, 1 / 255),
}
CPU_FLAGS = ("avx2", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm", "neon")


def picture(width, height):
    """The picture all engines see, [height, width, 3], u8: that of arcticd's self-test."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return ((31 * x + 17 * y + 85 * c + x * y) % 256).astype(np.uint8)


def normalised(pixels, entrance):
    """`pixels` as the manifest's `[input]` wants them, a batch of one."""
    recipe = entrance["preprocessing"]
    if isinstance(recipe, str):
        values = (pixels - PREPROCESSING[recipe][0]) * PREPROCESSING[recipe][1]
        values = values[..., ::-1] if entrance["channels"] == "bgr" else values
    else:
        ordered = pixels[..., ::-1] if entrance["channels"] == "bgr" else pixels
        values = (ordered - np.array(recipe["mean"])) * np.array(recipe["scale"])
    values = values.transpose(2, 0, 1) if entrance["layout"] == "nchw" else values
    return np.ascontiguousarray(values[None], dtype=np.float32)


class Arcticd:
    """`arcticd backbone bench --serve`: a number of inferences a line in, their milliseconds out."""

    def __init__(self, binary, manifest):
        command = [binary, "backbone", "bench", "--serve", manifest]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        times = [float(word) for word in self.process.stdout.readline().split()]
        if len(times) != count:
            raise SystemExit(f"arcticd answered {len(times)} times, not {count}; does `backbone bench --serve` work alone?")
        return times

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


class Timed:
    """An engine inside this process; `call` is one inference."""

    def __init__(self, call):
        self.call = call

    def run(self, count):
        times = []
        for _ in range(count):
            begin = time.perf_counter_ns()
            self.call()
            times.append((time.perf_counter_ns() - begin) / 1e6)
        return times

    def close(self):
        pass


def cut_onnx(path, cut):
    """The network up to the node or tensor `cut`, as arcticd runs it.

    Where the file quantizes that tensor the cut lies behind it, so that onnxruntime can fuse the last operator too.
    """
    model = onnx.load(path)
    if cut is None:
        return model.SerializeToString()
    nodes = model.graph.node
    tensor = next((node.output[0] for node in nodes if cut == node.name or cut in node.output), None)
    if tensor is None:
        raise SystemExit(f"{path}: no node or tensor is named {cut}")
    for wanted in ("QuantizeLinear", "DequantizeLinear"):
        users = [node for node in nodes if tensor in node.input]
        if [node.op_type for node in users] == [wanted]:
            tensor = users[0].output[0]
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    return model.SerializeToString()


def onnxruntime_engine(network, values, exact):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(network, options, ["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: values}
    return Timed(lambda: session.run(None, feed))


def cut_tflite(path):
    """The network up to its last global average, where backbones end; the whole one if it has none."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    data = Path(path).read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    graph = model.subgraphs[0]
    averages = (schema.BuiltinOperator.AVERAGE_POOL_2D, schema.BuiltinOperator.MEAN)
    ends = [i for i, op in enumerate(graph.operators) if model.operatorCodes[op.opcodeIndex].builtinCode in averages]
    if not ends:
        return data
    graph.operators = graph.operators[: ends[-1] + 1]
    graph.outputs = graph.operators[-1].outputs
    model.signatureDefs = []
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def litert_engine(path, pixels, values):
    from ai_edge_litert.interpreter import Interpreter

    # The default resolver brings XNNPACK.
    interpreter = Interpreter(model_content=cut_tflite(path), num_threads=1)
    interpreter.allocate_tensors()
    entrance = interpreter.get_input_details()[0]
    if tuple(entrance["shape"][1:3]) != pixels.shape[:2]:
        raise SystemExit(f"{path} takes {entrance['shape']}, the backbone {pixels.shape}")
    given = {np.uint8: pixels[None], np.int8: (pixels[None].astype(np.int16) - 128).astype(np.int8)}
    interpreter.set_tensor(entrance["index"], given.get(entrance["dtype"], values))
    return Timed(interpreter.invoke)


def measure(engines, rounds, burst):
    """Milliseconds of every inference: engine -> round -> burst. Each round begins with another engine."""
    times = {name: [] for name in engines}
    names = list(engines)
    for engine in engines.values():
        engine.run(burst)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(engines[name].run(burst))
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return times


def summary(times):
    """Milliseconds of each engine and the ratios of arcticd to each peer, under 1 where arcticd is faster.

    `ratio` is the median over the rounds of the ratio within a round. `ratio_quiet` compares the tenth percentiles: what
    is left where other programs took the processor in between.
    """
    flat = {name: sorted(time for burst in bursts for time in burst) for name, bursts in times.items()}
    quiet = {name: values[len(values) // 10] for name, values in flat.items()}
    rounds = {name: [statistics.median(burst) for burst in bursts] for name, bursts in times.items()}
    peers = [name for name in times if name != "arcticd"]
    ratio = {
        name: statistics.median(ours / theirs for ours, theirs in zip(rounds["arcticd"], rounds[name])) for name in peers
    }
    return {
        "ms": {name: round(statistics.median(values), 3) for name, values in flat.items()},
        "ms_quiet": {name: round(value, 3) for name, value in quiet.items()},
        "ratio": {name: round(value, 3) for name, value in ratio.items()},
        "ratio_quiet": {name: round(quiet["arcticd"] / quiet[name], 3) for name in peers},
    }


def cpu():
    """Model and the flags that decide which kernels run."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^(?:model name|Model)\s*:\s*(.*)$", info, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", info, re.M)
    known = flags.group(1).split() if flags else []
    return {
        "model": model.group(1) if model else platform.machine(),
        "architecture": platform.machine(),
        "flags": {flag: flag in known for flag in CPU_FLAGS},
        "cores": os.cpu_count(),
    }


def versions(binary, tflite):
    from importlib.metadata import version

    arcticd = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    peers = {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__, "python": platform.python_version()}
    return {"arcticd": arcticd, **peers, **({"ai-edge-litert": version("ai-edge-litert")} if tflite else {})}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arcticd", required=True, help="a release build")
    parser.add_argument("--backbone", required=True, type=Path, help="manifest of a quantized (QDQ) backbone")
    parser.add_argument("--tflite", type=Path, help="the same network for LiteRT")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--burst", type=int, default=3, help="inferences of each engine in a round")
    arguments = parser.parse_args()

    manifest = tomllib.loads(arguments.backbone.read_text())
    pixels = picture(manifest["input"]["width"], manifest["input"]["height"])
    values = normalised(pixels, manifest["input"])
    network = cut_onnx(arguments.backbone.parent / manifest["file"], manifest["output"].get("cut"))

    engines = {
        "arcticd": Arcticd(arguments.arcticd, str(arguments.backbone)),
        "onnxruntime": onnxruntime_engine(network, values, exact=False),
        "onnxruntime_exact": onnxruntime_engine(network, values, exact=True),
    }
    if arguments.tflite:
        engines["litert"] = litert_engine(arguments.tflite, pixels, values)
    times = measure(engines, arguments.rounds, arguments.burst)
    for engine in engines.values():
        engine.close()

    bench = subprocess.run(
        [arguments.arcticd, "backbone", "bench", "--json", str(arguments.backbone)], stdout=subprocess.PIPE, check=True
    )
    print(json.dumps({
        "backbone": manifest["id"],
        "rounds": arguments.rounds,
        "burst": arguments.burst,
        **summary(times),
        "arcticd_bench": json.loads(bench.stdout),
        "versions": versions(arguments.arcticd, arguments.tflite),
        "cpu": cpu(),
    }))


if __name__ == "__main__":
    main()
