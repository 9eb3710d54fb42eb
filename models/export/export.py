"""Pretrained backbones for arcticd, in one command: fetched, exported as ONNX, described, quantized on your photos.

    python export.py resnet50v2 --calibrate PHOTOS [-o FOLDER] [--arcticd PATH] [--random]

NAME is resnet50v2 or mobilenetv2 (Keras, ImageNet weights) or efficientnet-lite0 (timm). README.md says what to install.
Writes NAME.onnx and NAME.toml (floats) and, with --calibrate, NAME-int8.onnx and NAME-int8.toml. `--random` takes random
weights instead of fetched ones, to try the way without a network; such a backbone recognises nothing.
"""

import argparse
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SIDE = 224


def keras_network(name, random, path):
    """Keras' network without its classification layers: NHWC in, feature map out."""
    import keras
    import tensorflow as tf
    import tf2onnx

    make = {"resnet50v2": keras.applications.ResNet50V2, "mobilenetv2": keras.applications.MobileNetV2}[name]
    keras.utils.set_random_seed(1)
    model = make(weights=None if random else "imagenet", include_top=False, input_shape=(SIDE, SIDE, 3))
    signature = [tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32, name="image")]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    tf2onnx.convert.from_function(function, input_signature=signature, opset=13, output_path=str(path))


def timm_network(name, random, path):
    """timm's network with its pooling, without its classification layer: NCHW in, feature vector out."""
    import timm
    import torch

    torch.manual_seed(1)
    model = timm.create_model(name, pretrained=not random, num_classes=0, exportable=True).eval()
    example = (torch.zeros(1, 3, SIDE, SIDE),)
    # One file: data beside it would be refused.
    torch.onnx.export(model, example, path, dynamo=True, external_data=False, opset_version=18, verbose=False)


NETWORKS = {
    "resnet50v2": ("keras-resnet50v2", keras_network, "resnet50v2", "Apache-2.0"),
    "mobilenetv2": ("keras-mobilenetv2", keras_network, "mobilenetv2", "Apache-2.0"),
    "efficientnet-lite0": ("efficientnet-lite0", timm_network, "tf_efficientnet_lite0", "Apache-2.0"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("--calibrate", type=pathlib.Path, metavar="PHOTOS", help="quantize on the photos of this folder")
    parser.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("."), help="folder to write to")
    parser.add_argument("--arcticd", default="arcticd", help="the program")
    parser.add_argument("--random", action="store_true", help="random weights, nothing is fetched")
    arguments = parser.parse_args()

    family, export, source, licence = NETWORKS[arguments.name]
    arguments.out.mkdir(parents=True, exist_ok=True)
    network = arguments.out / f"{arguments.name}.onnx"
    export(source, arguments.random, network)

    def arcticd(*call):
        code = subprocess.run([arguments.arcticd, "backbone", *map(str, call)]).returncode
        # 3: some photos could not be read; they are named, and the rest was enough.
        if code not in (0, 3):
            sys.exit(code)

    arcticd("add", network, "--like", family)
    manifest = network.with_suffix(".toml")
    manifest.write_text(manifest.read_text().replace('licence = "unknown"', f'licence = "{licence}"'))
    if arguments.calibrate:
        arcticd("quantize", network, "--calibrate", arguments.calibrate, "-o", arguments.out / f"{arguments.name}-int8.onnx")


if __name__ == "__main__":
    main()
