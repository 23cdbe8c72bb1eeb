#!/usr/bin/env python3
"""Makes the .npy files beside it: what ONNX Runtime computes for data/models on a generated input.

Needs numpy and onnxruntime (tests/compare/run makes an environment that has them):
    tests/compare/venv/bin/python tests/goldens/make-goldens.py
tests/test-models.c generates the same input by the same formula.
"""
import pathlib

import numpy
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Range of the input, and size of the squares that it consists of: fine or weak noise would make the
# segmentation's output zero everywhere, which would compare nothing.
MODELS = {"blazeface-back-256": (-1.0, 1.0, 1), "selfie-segmentation-256": (-0.5, 1.5, 16)}


def generated_input(shape, low, high, square):
    """NHWC; squares of one colour. Each is a hash of its place (Knuth's multiplicative one, mixed), in
    [low, high)."""
    n, height, width, channels = shape
    small = (n, height // square, width // square, channels)
    i = numpy.arange(numpy.prod(small), dtype=numpy.uint32)
    with numpy.errstate(over="ignore"):
        i = (i + numpy.uint32(1)) * numpy.uint32(2654435761)
        i ^= i >> numpy.uint32(15)
        i *= numpy.uint32(2246822519)
    unit = (i >> numpy.uint32(8)).astype(numpy.float32) / numpy.float32(1 << 24)
    values = unit * numpy.float32(high - low) + numpy.float32(low)
    return values.reshape(small).repeat(square, 1).repeat(square, 2)


def file_name(output):
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in output) + ".npy"


def main():
    for model, generator in MODELS.items():
        session = onnxruntime.InferenceSession(ROOT / "data/models" / f"{model}.onnx")
        port = session.get_inputs()[0]
        tensors = session.run(None, {port.name: generated_input(port.shape, *generator)})
        folder = pathlib.Path(__file__).parent / model
        folder.mkdir(exist_ok=True)
        for output, tensor in zip(session.get_outputs(), tensors):
            numpy.save(folder / file_name(output.name), tensor)
            print(f"{model}: {output.name} {tensor.shape} largest {abs(tensor).max():.4g}")


if __name__ == "__main__":
    main()
