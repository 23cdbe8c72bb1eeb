"""Compares what `lcip run` and ONNX Runtime compute for torchvision's networks on a random picture.

    tests/compare/run networks [--lcip PROGRAM] [--models FOLDER] [NAME...]

Exports each network (opset 13, seeded weights, settled statistics) by tests/bench/export-torchvision.py,
which needs Debian's python3-torchvision, one at a time; an export that was in FOLDER before stays there.
Prints a table and fails when an output is over 1e-3 of its range away from ONNX Runtime's, and when what
the list of refusals below says is not so."""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPORTER = ROOT / "tests/bench/export-torchvision.py"
TOLERANCE = 1e-3
# PyTorch 1.13 has no ONNX for these: (operator, networks).
NOT_EXPORTED = {"swin_v2_b": "aten::zero", "swin_v2_s": "aten::zero", "swin_v2_t": "aten::zero"}

# What LCIP says of detection networks, whose exports choose and count boxes as they run.
REFUSALS = ("control flow, which LCIP does not run", "expected a value known before the run, found a computed one")


class Refused(RuntimeError):
    """lcip run listed the problems of a model and did not begin."""


def known_networks(python):
    lines = subprocess.run([python, EXPORTER, "--list-all"], check=True, capture_output=True, text=True).stdout
    return {name: kind for kind, name in (line.split() for line in lines.splitlines())}


def file_name(output):
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in output) + ".npy"


def run_onnxruntime(model, seed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    data = numpy.random.default_rng(seed).random(port.shape, dtype=numpy.float32)
    names = [output.name for output in session.get_outputs()]
    return port.name, data, dict(zip(names, session.run(None, {port.name: data})))


def run_lcip(lcip, model, name, data, folder):
    source = folder / "input.npy"
    numpy.save(source, data)
    done = subprocess.run([lcip, "run", model, "--input", f"{name}={source}", "--output", folder / "out"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        problems = [line for line in lines if any(refusal in line for refusal in REFUSALS)]
        kind = Refused if problems and len(lines) - len(problems) <= 1 else RuntimeError
        raise kind(f"lcip run: {' | '.join(map(str.strip, problems or lines)) or done.returncode}")
    return {path.name: numpy.load(path) for path in (folder / "out").glob("*.npy")}


def difference(found, expected):
    """The largest difference as a share of the range of what is expected, 0 included."""
    if found.shape != expected.shape:
        raise RuntimeError(f"expected shape {expected.shape}, found {found.shape}")
    if expected.size == 0:
        return 0.0
    wanted = expected.astype(numpy.float64)
    scale = max(wanted.max(), 0) - min(wanted.min(), 0)
    return float(abs(found - wanted).max()) / (scale or 1)


def compare(args, model, folder):
    name, data, expected = run_onnxruntime(model, args.seed)
    found = run_lcip(args.lcip, model, name, data, folder)
    worst = 0.0
    for output, wanted in expected.items():
        worst = max(worst, difference(found[file_name(output)], wanted))
    shapes = ", ".join("x".join(map(str, wanted.shape)) for wanted in expected.values())
    return worst, shapes


def export(args, name, folder):
    kept = args.models / f"{name}.onnx" if args.models else None
    if kept and kept.exists():
        return kept
    done = subprocess.run([args.python, EXPORTER, folder, name], capture_output=True, text=True)
    if done.returncode != 0:
        raise LookupError(done.stderr.strip().splitlines()[-1])
    return folder / f"{name}.onnx"


def check(args, name, kind):
    """Prints a line; FALSE when it is not as it should be."""
    start = time.monotonic()
    refused = NOT_EXPORTED.get(name)
    with tempfile.TemporaryDirectory(dir=args.temporary) as temporary:
        folder = pathlib.Path(temporary)
        try:
            worst, text = compare(args, export(args, name, folder), folder)
            good = worst <= TOLERANCE and not refused
            text = f"difference / range {worst:.1e}  {text}"
        except LookupError as error:
            good = bool(refused) and refused in str(error)
            text = f"not exported: {str(error)[:140]}"
        except Refused as error:
            good, text = kind == "detection", str(error)
        except Exception as error:  # pylint: disable=broad-except
            good, text = False, str(error)[:300]
    seconds = time.monotonic() - start
    print(f"{'ok  ' if good else 'FAIL'} {kind:14} {name:40} {seconds:5.0f} s  {text}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks; all without")
    parser.add_argument("--lcip", default=ROOT / "build/runtime/cli/lcip")
    parser.add_argument("--models", type=pathlib.Path, help="folder with exports that are used and kept")
    parser.add_argument("--temporary", help="where exports are made and deleted")
    parser.add_argument("--python", default="/usr/bin/python3", help="a Python with torchvision")
    parser.add_argument("--kind", choices=["classification", "segmentation", "detection"])
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    networks = known_networks(args.python)
    unknown = [name for name in args.names if name not in networks]
    if unknown:
        parser.error(f"unknown: {' '.join(unknown)}")
    names = args.names or [name for name in networks if args.kind in (None, networks[name])]
    print(f"onnxruntime {onnxruntime.__version__}, seed {args.seed}, {len(names)} networks", flush=True)
    wrong = [name for name in names if not check(args, name, networks[name])]
    print(f"{len(names) - len(wrong)} of {len(names)} as they should be" + (f"; wrong: {' '.join(wrong)}" if wrong else ""))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
