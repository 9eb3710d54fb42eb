"""Names the quantized network and gives its manifest a self-test with onnxruntime's numbers.

`arcticd backbone quantize` writes a manifest too, but checks in it only that the daemon still computes what it computed then;
numbers from another runtime also check that this was right.

Usage: manifest.py OUT
"""

import argparse
from pathlib import Path

from backbone import ID, write_manifest


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    write_manifest(args.out / "backbone.onnx", ID, "8-bit integers throughout")


if __name__ == "__main__":
    main()
