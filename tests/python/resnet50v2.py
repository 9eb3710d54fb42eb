"""A ResNet50V2 as users export it: Keras' layout, through tf2onnx, with batch norms that do something.

`weights=None` leaves every batch norm at the identity and a test on it would prove nothing. Here the convolutions are
random (He) and each batch norm gets random gamma and beta, and the mean and variance that pictures of noise with the
spectrum of photographs have at that place, both off by a little, as a trained network's are. So activations keep their
size through all 50 layers and differ from picture to picture. The same seed gives the same files.

    pip install tensorflow-cpu==2.21.0 tf2onnx==1.17.0 onnx==1.23.2 onnxruntime==1.32.0 pillow==13.0.0
    python resnet50v2.py OUT_FOLDER [--calibrate PHOTOS]

writes `resnet50v2.onnx` (NHWC in, feature map out, as Keras has it), `resnet50v2_nchw.onnx` (the same with NCHW in and
out), `resnet50v2_avg.onnx` (with the global average pool); with photos, `resnet50v2_ort_qdq.onnx` and
`resnet50v2_avg_ort_qdq.onnx`: the first and third as onnxruntime's own quantizer makes them.
"""

import argparse
import os
import pathlib
import re

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import tf2onnx

SIZE = 224
# What a residual branch adds, compared with He's rule. Training leaves branches weak beside the trunk; at full strength the
# random network is chaotic: rounding to 8 bits alone moves its features to a cosine of 0.97 (0.993 with this).
BRANCH = 0.3


def noise_pictures(count, rng):
    """`count` pictures of coloured noise, each of its own brightness and contrast: [count, 224, 224, 3], -1 to 1."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None, :])
    frequency[0, 0] = frequency[0, 1]
    shape = (count, 3, *frequency.shape)
    spectrum = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    # A gray picture under the colours, as in photos.
    spectrum = (spectrum[:, :1] + 0.4 * spectrum) / frequency**1.2
    pictures = np.fft.irfft2(spectrum, s=(SIZE, SIZE)).transpose(0, 2, 3, 1)
    pictures /= pictures.std((1, 2, 3), keepdims=True)
    contrast, brightness = rng.uniform(0.15, 0.7, (count, 1, 1, 1)), rng.uniform(-0.6, 0.6, (count, 1, 1, 1))
    return np.clip(pictures * contrast + brightness, -1, 1).astype("float32")


def random_network(seed, pictures=16):
    """The network with random weights; batch-norm statistics measured layer by layer."""
    rng = np.random.default_rng(seed)
    model = keras.applications.ResNet50V2(weights=None, include_top=False, input_shape=(SIZE, SIZE, 3), pooling=None)
    values = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            values[id(layer.output)] = tf.constant(noise_pictures(pictures, rng))
            continue
        wanted = layer.input if isinstance(layer.input, list) else [layer.input]
        inputs = [values[id(tensor)] for tensor in wanted]
        if isinstance(layer, keras.layers.Conv2D):
            rows, columns, depth, filters = layer.kernel.shape
            he = np.sqrt(2 / (rows * columns * depth))
            if layer.name.endswith("_3_conv"):
                he *= BRANCH
            weights = [rng.standard_normal((rows, columns, depth, filters)) * he * rng.lognormal(0, 0.3, filters)]
            if layer.use_bias:
                weights.append(rng.standard_normal(filters) * 0.1)
            layer.set_weights([array.astype("float32") for array in weights])
        elif isinstance(layer, keras.layers.BatchNormalization):
            mean, variance = (moment.numpy() for moment in tf.nn.moments(inputs[0], [0, 1, 2]))
            channels = mean.shape[0]
            layer.set_weights([
                rng.uniform(0.5, 1.5, channels),
                rng.normal(0, 0.3, channels),
                mean + rng.normal(0, 0.1, channels) * np.sqrt(variance),
                variance * rng.lognormal(0, 0.2, channels),
            ])
        result = layer(inputs if isinstance(layer.input, list) else inputs[0], training=False)
        values[id(layer.output)] = result
    return model


def export(model, path, pooled=False, channels_first=False):
    """Writes `model` as ONNX, opset 13."""
    signature = [tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="image")]

    @tf.function(input_signature=signature)
    def network(image):
        features = model(image, training=False)
        if pooled:
            features = keras.layers.GlobalAveragePooling2D()(features)
        return tf.identity(features, name="features")

    graph, _ = tf2onnx.convert.from_function(
        network,
        input_signature=signature,
        opset=13,
        inputs_as_nchw=["image:0"] if channels_first else None,
        outputs_as_nchw=["Identity:0"] if channels_first and not pooled else None,
    )
    renumber(graph.graph)
    path.write_bytes(graph.SerializeToString())


def renumber(graph):
    """tf2onnx numbers what it makes by a counter that runs differently every time: numbered again in the order of use."""
    new = {}

    def renamed(name):
        stem, counter, rest = re.fullmatch(r"(.*?)(__\d+)?(:\d+)?", name).groups(default="")
        if counter:
            new.setdefault(stem + counter, f"{stem}__{len(new)}")
        return new.get(stem + counter, stem) + rest

    for node in graph.node:
        node.name = renamed(node.name)
        node.input[:] = map(renamed, node.input)
        node.output[:] = map(renamed, node.output)
    for constant in graph.initializer:
        constant.name = renamed(constant.name)
    constants = sorted(graph.initializer, key=lambda constant: constant.name)
    del graph.initializer[:]
    graph.initializer.extend(constants)


def photo_batches(folder, count):
    """`count` photos spread over `folder`, as the network takes them: [1, 224, 224, 3], -1 to 1."""
    from PIL import Image

    photos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for path in photos[:: max(1, len(photos) // count)][:count]:
        picture = Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        yield np.asarray(picture, "float32")[None] / 127.5 - 1


def quantize(source, target, folder, count):
    """onnxruntime's static quantization, QDQ: u8 activations, s8 weights per channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Photos(CalibrationDataReader):
        batches = ({"image": batch} for batch in photo_batches(folder, count))

        def get_next(self):
            return next(self.batches, None)

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(target),
        Photos(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--calibrate", type=pathlib.Path, help="a folder of photos: quantize too")
    parser.add_argument("--photos", type=int, default=16, help="how many of them")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    model = random_network(arguments.seed)
    export(model, arguments.out / "resnet50v2.onnx")
    export(model, arguments.out / "resnet50v2_nchw.onnx", channels_first=True)
    export(model, arguments.out / "resnet50v2_avg.onnx", pooled=True)
    if arguments.calibrate:
        for name in ("resnet50v2", "resnet50v2_avg"):
            source = arguments.out / f"{name}.onnx"
            quantize(source, arguments.out / f"{name}_ort_qdq.onnx", arguments.calibrate, arguments.photos)


if __name__ == "__main__":
    main()
