#!/usr/bin/python3
"""Exports torchvision's networks as ONNX models with seeded random weights.

    export-torchvision.py DIRECTORY [NAME...]
    export-torchvision.py --list | --list-all

Without names those that tests/bench measures, which --list prints; NAME is any network of torchvision,
segmentation and detection too: --list-all prints them and their kind. Nothing is downloaded: speed does not depend on what the weights
are. BatchNorm's statistics are taken from one forward pass, so that values stay in the range they have in
a trained network (and results of different programs can be compared). Needs torch and torchvision
(Debian: python3-torchvision)."""

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
# Detection networks resize what they get; these are sides that they are made for, or that keep them small.
DETECTION_SIDES = {"ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 320}
DETECTION_SIDE = 320
SEGMENTATION_SIDE = 260


def networks():
    """name: kind"""
    kinds = {"classification": torchvision.models, "segmentation": torchvision.models.segmentation,
             "detection": torchvision.models.detection}
    return {name: kind for kind, module in kinds.items() for name in torchvision.models.list_models(module=module)}


def kind_of(name):
    return networks()[name]


def side_of(name):
    if name in MODELS:
        return MODELS[name]
    if kind_of(name) == "segmentation":
        return SEGMENTATION_SIDE
    if kind_of(name) == "detection":
        return DETECTION_SIDES.get(name, DETECTION_SIDE)
    size = next(iter(torchvision.models.get_model_weights(name))).transforms.keywords["crop_size"]
    return size if isinstance(size, int) else size[0]


def build(name):
    options = {"weights": None}
    if kind_of(name) != "classification":
        options["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        options.update(aux_logits=False, init_weights=False)
    if kind_of(name) == "detection" and "ssd" not in name:
        side = side_of(name)
        options.update(min_size=side, max_size=side)
    if name.startswith("vit"):
        options["image_size"] = side_of(name)
    model = torchvision.models.get_model(name, **options)
    wake_up(model)
    return model


def wake_up(model):
    """What a network is made with to train well would leave nothing to compare: heads of zeros, and branches
    that are scaled to almost nothing."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("layer_scale"):
                parameter.fill_(0.3)
            elif name.startswith("heads") and parameter.dim() == 2 and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)


def settle_batch_norm(model, picture):
    """Running statistics become those of one batch."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(picture)
    model.eval()


def without_dictionary(model):
    """A segmentation network that gives its result alone."""
    class Segmentation(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, picture):
            return self.model(picture)["out"]
    return Segmentation().eval()


def export(name, directory):
    torch.manual_seed(1)
    kind, side = kind_of(name), side_of(name)
    model = build(name)
    picture = torch.rand if kind == "detection" else torch.randn
    outputs = ["output"]
    if kind == "detection":
        settle_batch_norm(model.backbone, picture(2, 3, side, side))
        model.eval()
        if hasattr(model, "score_thresh"):
            model.score_thresh = 0.0
        example = ([picture(3, side, side)],)
        outputs = ["boxes", "scores", "labels"] if "fcos" in name or "retina" in name or "ssd" in name else None
    else:
        settle_batch_norm(model, picture(4 if side < 400 else 2, 3, side, side))
        model = without_dictionary(model) if kind == "segmentation" else model
        example = picture(1, 3, side, side)
    path = os.path.join(directory, name + ".onnx")
    torch.onnx.export(model, example, path, opset_version=13, input_names=["input"], output_names=outputs)
    print(path, flush=True)


def main():
    warnings.filterwarnings("ignore")
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--list":
        print("\n".join(sorted(MODELS)))
        return
    if not torch:
        sys.exit(f"{sys.executable} has no torchvision (Debian: python3-torchvision)")
    known = networks()
    if sys.argv[1] == "--list-all":
        print("\n".join(f"{kind} {name}" for name, kind in known.items()))
        return
    names = sys.argv[2:] or sorted(MODELS)
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"unknown: {' '.join(unknown)}; --list-all prints the known ones")
    os.makedirs(sys.argv[1], exist_ok=True)
    for name in names:
        export(name, sys.argv[1])


if __name__ == "__main__":
    main()
