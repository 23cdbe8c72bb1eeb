"""Compares what `lcip run` and ONNX Runtime compute for the models in data/models on random inputs."""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Largest allowed difference, as a share of the largest output.
TOLERANCES = {"blazeface-back-256": 1e-4, "selfie-segmentation-256": 1e-3}
# An output that is all but zero (a sigmoid's, on noise) is compared as if its largest value were this.
SMALLEST_SCALE = 1e-2


def random_inputs(shape, rng):
    """White noise, noise of 16-pixel squares (on which the segmentation answers), and a gradient."""
    n, height, width, channels = shape
    yield "noise", rng.random(shape, dtype=numpy.float32)
    squares = rng.random((n, height // 16, width // 16, channels), dtype=numpy.float32)
    yield "squares", squares.repeat(16, 1).repeat(16, 2) * 2 - numpy.float32(0.5)
    ramp = numpy.linspace(0, 1, width, dtype=numpy.float32)[None, None, :, None]
    yield "gradient", (ramp * rng.random((n, height, 1, channels), dtype=numpy.float32))


def file_name(output):
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in output) + ".npy"


def run_lcip(lcip, model, name, data):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "input.npy"
        numpy.save(source, numpy.ascontiguousarray(data))
        subprocess.run([lcip, "run", model, "--input", f"{name}={source}", "--output", folder],
                       check=True, stdout=subprocess.DEVNULL)
        return {path.name: numpy.load(path) for path in pathlib.Path(folder).glob("*.npy")}


def compare(lcip, model, rng):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options)
    port = session.get_inputs()[0]
    ok = True
    for kind, data in random_inputs(port.shape, rng):
        expected = session.run(None, {port.name: data})
        found = run_lcip(lcip, model, port.name, data)
        for output, wanted in zip(session.get_outputs(), expected):
            got = found[file_name(output.name)]
            if got.shape != wanted.shape:
                print(f"{model.stem} {output.name}: expected shape {wanted.shape}, found {got.shape}")
                ok = False
                continue
            largest = float(abs(wanted).max())
            error = float(abs(got - wanted).max()) / max(largest, SMALLEST_SCALE)
            good = error <= TOLERANCES[model.stem]
            ok = ok and good
            print(f"{'ok  ' if good else 'FAIL'} {model.stem:24} {kind:9} {output.name:18} largest "
                  f"{largest:10.4g}  difference / largest {error:.2e}  allowed {TOLERANCES[model.stem]:.0e}")
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lcip", default=ROOT / "build/runtime/cli/lcip")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"onnxruntime {onnxruntime.__version__}, seed {args.seed}")
    rng = numpy.random.default_rng(args.seed)
    results = [compare(args.lcip, ROOT / "data/models" / f"{name}.onnx", rng) for name in TOLERANCES]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
