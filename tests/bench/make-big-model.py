#!/usr/bin/env python3
"""Makes an ONNX model of a given size with its weights as external data.

    make-big-model.py DIRECTORY [--gigabytes G] [--width N]

A chain of matrix products (rows of N) with Relu between them; each has a weight of N x N f32 in big.data, so
that reading and preparing weights takes all the time and all the memory. Then

    /usr/bin/time -v lcip info DIRECTORY/big.onnx

tells the peak of resident memory. Needs numpy and onnx."""
import argparse
import pathlib

import numpy
import onnx
from onnx import TensorProto, helper


def write_weights(path, n_layers, width):
    """Layer by layer: a model of any size is made in little memory."""
    rng = numpy.random.default_rng(1)
    tile = rng.standard_normal((width, width), dtype=numpy.float32) * numpy.float32((2 / width) ** 0.5)
    with open(path, "wb") as file:
        for layer in range(n_layers):
            numpy.roll(tile, layer + 1, axis=1).tofile(file)


def external_tensor(name, width, location, offset):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[width, width],
                         data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", 4 * width * width)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def make_model(n_layers, width, location):
    nodes, tensors = [], []
    value = "input"
    for layer in range(n_layers):
        last = layer == n_layers - 1
        tensors.append(external_tensor(f"weight_{layer}", width, location, 4 * width * width * layer))
        nodes.append(helper.make_node("MatMul", [value, f"weight_{layer}"], ["output" if last else f"sum_{layer}"],
                                      name=f"product_{layer}"))
        value = f"sum_{layer}"
        if not last:
            nodes.append(helper.make_node("Relu", [value], [f"layer_{layer}"], name=f"relu_{layer}"))
            value = f"layer_{layer}"
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]) for name in ("input", "output")]
    graph = helper.make_graph(nodes, "big", ports[:1], ports[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--width", type=int, default=4096)
    args = parser.parse_args()
    n_layers = max(1, round(args.gigabytes * 2**30 / (4 * args.width**2)))
    args.directory.mkdir(parents=True, exist_ok=True)
    write_weights(args.directory / "big.data", n_layers, args.width)
    path = args.directory / "big.onnx"
    onnx.save(make_model(n_layers, args.width, "big.data"), path)
    print(f"{path}: {n_layers} weights of {args.width} x {args.width}")


if __name__ == "__main__":
    main()
