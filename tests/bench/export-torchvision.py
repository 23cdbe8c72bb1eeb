#!/usr/bin/python3
"""Exports torchvision's classification networks as ONNX models with seeded random weights.

    export-torchvision.py DIRECTORY [NAME...]
    export-torchvision.py --list

Nothing is downloaded: speed does not depend on what the weights are. BatchNorm's statistics are taken
from one forward pass, so that values stay in the range they have in a trained network (and results of
different programs can be compared). Needs torch and torchvision (Debian: python3-torchvision)."""

import os
import sys
import warnings

try:
    import torch
    import torchvision
except ModuleNotFoundError:
    torch = None

# name: side of the input picture
MODELS = {
    "alexnet": 224, "densenet121": 224, "efficientnet_b0": 224, "googlenet": 224, "inception_v3": 299,
    "mobilenet_v2": 224, "mobilenet_v3_large": 224, "regnet_y_400mf": 224, "resnet18": 224,
    "resnet50": 224, "shufflenet_v2_x1_0": 224, "squeezenet1_1": 224, "vgg16": 224,
}


def build(name):
    options = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options.update(aux_logits=False, init_weights=False)
    return getattr(torchvision.models, name)(**options)


def settle_batch_norm(model, picture):
    """Running statistics become those of one batch."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(picture)
    model.eval()


def export(name, directory):
    torch.manual_seed(1)
    model, side = build(name), MODELS[name]
    settle_batch_norm(model, torch.randn(4, 3, side, side))
    path = os.path.join(directory, name + ".onnx")
    torch.onnx.export(model, torch.randn(1, 3, side, side), path, opset_version=13,
                      input_names=["input"], output_names=["output"])
    print(path, flush=True)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--list":
        print("\n".join(sorted(MODELS)))
        return
    if not torch:
        sys.exit(f"{sys.executable} has no torchvision (Debian: python3-torchvision)")
    names = sys.argv[2:] or sorted(MODELS)
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        sys.exit(f"unknown: {' '.join(unknown)}; known: {' '.join(sorted(MODELS))}")
    warnings.filterwarnings("ignore")
    os.makedirs(sys.argv[1], exist_ok=True)
    for name in names:
        export(name, sys.argv[1])


if __name__ == "__main__":
    main()
