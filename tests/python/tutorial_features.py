"""Features as the transfer-learning tutorial on arctic animals computes them, by Keras itself.

    pip install tensorflow-cpu==2.21.0 keras==3.15.1 tf2onnx==1.17.0 onnx==1.23.2 pillow==13.0.0
    python tutorial_features.py OUT_FOLDER [PHOTO...]

writes `resnet50v2.onnx` (random weights, see resnet50v2.py), pictures of odd sizes as .png and .jpg (the photos given, or
noise with the spectrum of photos), and for each of them `NAME.f32`: the feature map [7, 7, 2048] as raw little-endian
floats, of the picture loaded, prepared and run by the tutorial's own calls.
"""

import argparse
import pathlib

import numpy as np
from resnet50v2 import export, noise_pictures, random_network

from keras.applications.resnet50 import preprocess_input
from keras.utils import img_to_array, load_img
from PIL import Image

# 640 x 480 and 320 x 256 put centres of target pixels exactly between source pixels.
SIZES = [(640, 480), (517, 389), (320, 256), (224, 224)]


def pictures(photos):
    """Pictures with their names: real ones as they are, or noise in the given sizes."""
    if photos:
        for number, photo in enumerate(photos):
            yield f"photo{number}", Image.open(photo).convert("RGB")
        return
    noise = noise_pictures(len(SIZES), np.random.default_rng(11))
    for (width, height), values in zip(SIZES, noise):
        picture = Image.fromarray(((values + 1) * 127.5).astype("uint8"))
        yield f"noise{width}x{height}", picture.resize((width, height), Image.Resampling.BICUBIC)


def features(model, path):
    """The tutorial's way from a file to features."""
    x = img_to_array(load_img(path, target_size=(224, 224)))
    x = np.expand_dims(x, axis=0)
    x = preprocess_input(x) / 255
    return model(x, training=False).numpy()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("photos", type=pathlib.Path, nargs="*")
    arguments = parser.parse_args()
    model = random_network(1, pictures=4)
    export(model, arguments.out / "resnet50v2.onnx")
    for name, picture in pictures(arguments.photos):
        for ending, how in ((".png", {}), (".jpg", {"quality": 92})):
            path = arguments.out / (name + ending)
            picture.save(path, **how)
            features(model, path).astype("<f4").tofile(path.with_name(path.name + ".f32"))


if __name__ == "__main__":
    main()
