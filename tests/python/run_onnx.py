"""Runs a network in onnxruntime: run_onnx.py NETWORK INPUT SHAPE OUTPUT; tensors are raw little-endian f32 files.

Graph optimizations stay on, so that the integer kernels run; 8-bit products are computed exactly, because those of x86
without VNNI saturate otherwise.
"""

import sys

import numpy as np
import onnxruntime

network, source, shape, target = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.add_session_config_entry("session.x64quantprecision", "1")
session = onnxruntime.InferenceSession(network, options, ["CPUExecutionProvider"])
picture = np.fromfile(source, "<f4").reshape([int(side) for side in shape.split(",")])
(result,) = session.run(None, {session.get_inputs()[0].name: picture})
result.astype("<f4").tofile(target)
