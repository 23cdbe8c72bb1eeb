#!/usr/bin/env python3
"""Compares the speed of `lcip bench` with ONNX Runtime, OpenVINO and ncnn on the same ONNX files.

    compare.py [MODEL.onnx...]

Without models: torchvision's 13 classification networks, exported by export-torchvision.py (Debian:
python3-torchvision), and those in data/models. All compute in FP32, batch 1. Each engine runs with N
threads for one frame at a time and with N frames at a time, a thread each, and gets the better of both:
the larger rate, and the smaller latency of a frame. Engines and settings alternate, each measurement in
a process of its own; a figure is the median of the rounds, with the lowest and the highest. Outputs are
compared with ONNX Runtime's. The time to the first inference and the peak of memory have processes of
their own, which do nothing else (--first-rounds); before them one of each is not counted, so that files
lie in the page cache. In the others glibc gives the peers huge pages, as LCIP gives itself: they are up to
a twentieth faster with them. Their start is measured without, as it takes half or twice as long with them,
depending on what memory the machine has at hand.

Writes build/bench/compare.json, .txt and .svg (--output). A measurement can be made in pieces: models
that the JSON file has and that are not named keep their results there.

Makes its own Python environment (--venv, network needed the first time)."""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import peers
import report

SHORT_SECONDS = 0.01  # of measurements of which only the first frame counts
ROOT = pathlib.Path(__file__).resolve().parents[2]
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
PACKAGES = ["matplotlib", "numpy", "onnxruntime", "openvino", "ncnn", "pnnx"]


def program_output(command, environment=None):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, env={**os.environ, **(environment or {})})
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise RuntimeError(lines[-1])
    return done.stdout


# ---- measurements, in processes of their own ----

def measure_lcip(model, streams, seconds, args):
    text = program_output([args.lcip, "bench", model, "--json", "--threads", args.threads // streams,
                           "--streams", streams, "--seconds", seconds])
    result = json.loads(text)
    return {"fps": result["fps"], "latency_ms": result["latency_ms"]["p50"],
            "first_ms": result["first_inference_ms"], "peak_rss_bytes": result["peak_rss_bytes"]}


def measure_peer(engine, model, shape, streams, seconds, args, output=None):
    text = program_output([sys.executable, pathlib.Path(peers.__file__), engine, model, "--shape",
                           ",".join(map(str, shape)), "--threads", args.threads, "--streams", streams,
                           "--seconds", seconds] + (["--output", output] if output else []),
                          HUGE_PAGES if seconds > SHORT_SECONDS else None)
    return json.loads(text.strip().splitlines()[-1])


def measure(engine, model, shape, streams, seconds, args, output=None):
    if engine == "lcip":
        return measure_lcip(model, streams, seconds, args)
    return measure_peer(engine, model, shape, streams, seconds, args, output)


def lcip_output(model, info, folder, args):
    """LCIP's first output for the peers' input, stored where theirs are."""
    import numpy
    port = info["inputs"][0]
    source = folder / "in.npy"
    numpy.save(source, peers.input_data(port["shape"]))
    program_output([args.lcip, "run", model, "--input", f"{port['name']}={source}", "--output", folder])
    name = info["outputs"][0]["name"]
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    (folder / (safe + ".npy")).rename(folder / "lcip.npy")


def differences(folder, engines):
    """Largest difference from ONNX Runtime's output as a share of its largest value. Where an engine's
    first output is another one (ncnn's order differs), there is none."""
    import numpy
    outputs = {engine: numpy.load(folder / f"{engine}.npy").ravel() for engine in engines}
    reference = outputs.get("onnxruntime")
    if reference is None:
        return {}
    scale = max(float(abs(reference).max()), 1e-6)
    return {engine: float(abs(output - reference).max()) / scale for engine, output in outputs.items()
            if output.size == reference.size}


def measure_rounds(model, shape, folder, args):
    """{engine: {streams: [measurement]}} and {engine: why it could not be measured}."""
    runs, failed = {engine: {} for engine in ["lcip"] + args.peers}, {}
    for _ in range(args.rounds):
        for streams in sorted({1, args.threads}):
            for engine in [e for e in runs if e not in failed]:
                try:
                    result = measure(engine, model, shape, streams, args.seconds, args,
                                     folder / f"{engine}.npy")
                    runs[engine].setdefault(streams, []).append(result)
                except RuntimeError as error:
                    failed[engine] = str(error)
    return {engine: some for engine, some in runs.items() if engine not in failed}, failed


def measure_first(model, shape, engines, args):
    """{engine: [measurement]} of which first_ms and peak_rss_bytes count, all threads on one frame."""
    runs = {engine: [] for engine in engines}
    for turn in range(args.first_rounds + 1):
        for engine in engines:
            result = measure(engine, model, shape, 1, SHORT_SECONDS, args)
            if turn > 0:
                runs[engine].append(result)
    return runs


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summary(runs, first, threads):
    """@runs: {streams: [measurement]} of one engine; @first: [measurement]."""
    def of(key, some):
        return spread([run[key] for run in some])
    fps = {streams: of("fps", some) for streams, some in runs.items()}
    latency = {streams: of("latency_ms", some) for streams, some in runs.items()}
    best = max(fps, key=lambda streams: fps[streams]["median"])
    quickest = min(latency, key=lambda streams: latency[streams]["median"])
    return {"threads": threads, "throughput_fps": fps[best], "throughput_streams": best,
            "latency_ms": latency[quickest], "latency_streams": quickest,
            "by_streams": {str(s): {"fps": fps[s], "latency_ms": latency[s]} for s in runs},
            "first_inference_ms": of("first_ms", first), "peak_rss_bytes": of("peak_rss_bytes", first)}


class Disturbance:
    """How many processors other programs kept busy between begin and end, on average."""

    def __init__(self):
        self.begin = self.now()

    @staticmethod
    def now():
        with open("/proc/stat", encoding="utf-8") as lines:
            user, nice, system, _, _, irq, soft, steal, *_ = map(int, lines.readline().split()[1:])
        own = sum(resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime
                  for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        busy = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy - own

    def processors(self):
        now = self.now()
        return max(0.0, (now[1] - self.begin[1]) / max(now[0] - self.begin[0], 1e-3))


def compare_model(model, args):
    disturbance = Disturbance()
    info = json.loads(program_output([args.lcip, "info", "--json", model]))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shape = info["inputs"][0]["shape"]
        runs, failed = measure_rounds(model, shape, folder, args)
        first = measure_first(model, shape, list(runs), args)
        own = model.resolve().parent == ROOT / "data/models"
        result = {"model": model.stem, "own": own, "failed": failed, "seconds": args.seconds, "rounds": args.rounds,
                  "engines": {engine: summary(some, first[engine], args.threads) for engine, some in runs.items()}}
        result["others_busy_processors"] = disturbance.processors()
        if "lcip" in runs:
            lcip_output(model, info, folder, args)
        for engine, difference in differences(folder, runs).items():
            result["engines"][engine]["difference"] = difference
    return report.add_ratios(result)


# ---- the environment and the models ----

def enter_venv(folder):
    """Runs this script again in an environment with the peers."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    probe = subprocess.run([str(python), "-c", "import matplotlib, ncnn, numpy, onnxruntime, openvino"],
                           stderr=subprocess.DEVNULL)
    if probe.returncode:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        *PACKAGES], check=True)
    os.execv(python, [str(python), __file__, *sys.argv[1:]])


def default_models(folder, python):
    """Torchvision's networks, exported where they are not there yet, and those in data/models."""
    exporter = pathlib.Path(__file__).parent / "export-torchvision.py"
    names = program_output([python, exporter, "--list"]).split()
    missing = [name for name in names if not (folder / f"{name}.onnx").exists()]
    if missing:
        subprocess.run([python, exporter, folder, *missing], check=True, stdout=subprocess.DEVNULL)
    return [folder / f"{name}.onnx" for name in names] + sorted((ROOT / "data/models").glob("*.onnx"))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lcip", type=pathlib.Path, default=ROOT / "build/runtime/cli/lcip")
    parser.add_argument("--seconds", type=float, default=3, help="of a measurement; 3 by default")
    parser.add_argument("--rounds", type=int, default=5, help="5 by default")
    parser.add_argument("--first-rounds", type=int, default=7,
                        help="processes of each engine for the time to the first inference; 7 by default")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="all processors by default")
    parser.add_argument("--peers", default=",".join(peers.NAMES), type=lambda text: text.split(","))
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build/bench/compare")
    parser.add_argument("--models-dir", type=pathlib.Path, default=ROOT / "build/bench/models",
                        help="where the exported networks lie")
    parser.add_argument("--torch-python", default="/usr/bin/python3",
                        help="a Python that has torchvision")
    parser.add_argument("--venv", type=pathlib.Path, default=pathlib.Path(__file__).parent / "venv")
    parser.add_argument("--report", action="store_true", help="only write the report from the JSON file")
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    return parser.parse_args()


def main():
    args = arguments()
    if pathlib.Path(sys.prefix).resolve() != args.venv.resolve():
        enter_venv(args.venv)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    path = args.output.with_suffix(".json")
    results = json.loads(path.read_text())["results"] if path.exists() else []
    models = [] if args.report else args.models or default_models(args.models_dir, args.torch_python)
    for model in models:
        result = compare_model(model, args)
        print(report.model_text(result), flush=True)
        results = [r for r in results if r["model"] != result["model"]] + [result]
        path.write_text(json.dumps(report.document(results, args.threads), indent=1))
    report.write(results, args.output)


if __name__ == "__main__":
    main()
