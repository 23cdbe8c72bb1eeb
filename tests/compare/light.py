"""Runs the nine whole networks of ONNX's suite (PyPI's onnx, data/light) and compares with the stored outputs.

    tests/compare/run light [--lcip PROGRAM]

Input and tolerances (rtol 1e-3, atol 1e-7) are the suite's. These networks have constant weights, so all logits
are equal, and as large as 1e31 with rounding errors far over 1: Softmax gives the stored 0.001 only where every
column of the last product is summed in the same order, whatever that order is. So the input of the last Softmax is
compared too, as a share of the largest, with ONNX Runtime's without optimisations; how far ONNX Runtime's own
optimisations move it stands beside."""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnx.numpy_helper
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(onnx.__file__).parent / "backend/test/data/light"
RTOL, ATOL = 1e-3, 1e-7
LOGITS = 1e-5  # largest allowed difference of logits, as a share of the largest
LCIP_NAME = "lcip"


def file_name(output):
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in output) + ".npy"


def with_logits(model):
    """The model with the input of its last Softmax as a further output; the name, or None."""
    softmax = [node for node in model.graph.node if node.op_type == "Softmax"]
    if not softmax:
        return None
    name = softmax[-1].input[0]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return name


def dummy_input(value):
    """As onnx.backend.test.runner makes it."""
    shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
    n = int(numpy.prod(shape))
    return (numpy.arange(n).reshape(shape) / n).astype(numpy.float32)


def run_onnxruntime(path, feeds, optimised):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))


def run_lcip(lcip, path, feeds, folder, outputs):
    command = [lcip, "run", path, "--output", folder]
    for name, data in feeds.items():
        source = folder / f"input-{len(command)}.npy"
        numpy.save(source, data)
        command += ["--input", f"{name}={source}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {name: numpy.load(folder / file_name(name)) for name in outputs}


def close(found, expected):
    return found.shape == expected.shape and numpy.allclose(found, expected, rtol=RTOL, atol=ATOL)


def check(path, lcip, folder):
    model = onnx.load(path)
    stored = onnx.numpy_helper.to_array(onnx.load_tensor(path.with_name(path.stem + "_output_0.pb")))
    output = model.graph.output[0].name
    logits = with_logits(model)
    changed = folder / path.name
    onnx.save(model, changed)
    known = {tensor.name for tensor in model.graph.initializer}
    feeds = {value.name: dummy_input(value) for value in model.graph.input if value.name not in known}
    runs = {"onnxruntime": run_onnxruntime(changed, feeds, True),
            "unoptimised": run_onnxruntime(changed, feeds, False)}
    runs[LCIP_NAME] = run_lcip(lcip, changed, feeds, folder, [output] + ([logits] if logits else []))
    matches = {who: close(run[output], stored) for who, run in runs.items()}
    text = "  ".join(f"{who} {'matches' if match else 'DIFFERS'}" for who, match in matches.items())
    good = matches[LCIP_NAME]
    if logits:
        plain = runs["unoptimised"][logits].astype(numpy.float64)
        largest = abs(plain).max()
        away = {who: abs(run[logits] - plain).max() / largest for who, run in runs.items()}
        text += f"  logits to {largest:.1e}: lcip {away[LCIP_NAME]:.1e}, onnxruntime {away['onnxruntime']:.1e} away"
        good = good and away[LCIP_NAME] <= LOGITS
    print(f"{'ok  ' if good else 'FAIL'} {path.stem:22} {text}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lcip", default=ROOT / "build/runtime/cli/lcip")
    args = parser.parse_args()
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
    results = []
    for path in sorted(DATA.glob("*.onnx")):
        with tempfile.TemporaryDirectory() as folder:
            results.append(check(path, args.lcip, pathlib.Path(folder)))
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
