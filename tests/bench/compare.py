#!/usr/bin/env python3
"""Compares the speed of `lcip bench` with ONNX Runtime, OpenVINO and ncnn on the same ONNX files.

    compare.py [--lcip PROGRAM] [--seconds S] [--rounds N] [--threads N] [--peers NAMES]
               [--json FILE] MODEL.onnx...

All compute in FP32, batch 1. Throughput is measured with N threads for one frame and with N frames at
once, a thread each; latency with one frame at a time on N threads. Every engine gets its better setting.
Engines and settings alternate, each measurement in a process of its own; a figure is the median of the
rounds, with the lowest and the highest. Outputs are compared with ONNX Runtime's.

Makes its own Python environment (--venv, network needed the first time)."""

import argparse
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ["onnxruntime", "openvino", "ncnn"]
PACKAGES = ["numpy", "onnxruntime", "openvino", "ncnn", "pnnx"]
WARM_UP_FRAMES = 3


# ---- engines: each gives (names of inputs and their shapes, a function for one frame of a stream) ----

def onnxruntime_engine(model, threads, streams):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads // streams
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    return fixed(port.shape), lambda stream: lambda x: session.run(None, {port.name: x})[0]


def openvino_engine(model, threads, streams):
    import openvino
    compiled = openvino.Core().compile_model(str(model), "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams})
    requests = [compiled.create_infer_request() for _ in range(streams)]

    def runner(stream):
        return lambda x: requests[stream].infer([x], share_inputs=True)[0]
    return fixed(compiled.input(0).get_shape()), runner


def ncnn_files(model, shape):
    """ncnn's own format, made once by its converter beside a copy of the model."""
    data = model.read_bytes()
    folder = pathlib.Path(sys.prefix) / "ncnn-models" / hashlib.sha256(data).hexdigest()[:16]
    files = folder / "model.ncnn.param", folder / "model.ncnn.bin"
    if files[1].exists():
        return files
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "model.onnx"
    copy.write_bytes(data)
    tool = pathlib.Path(sys.executable).parent / "pnnx"
    sizes = ",".join(str(size) for size in shape)
    subprocess.run([tool, copy.name, f"inputshape=[{sizes}]", "fp16=0"], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return files


def ncnn_engine(model, threads, streams):
    import ncnn
    import onnxruntime
    shape = fixed(onnxruntime.InferenceSession(str(model)).get_inputs()[0].shape)
    net = ncnn.Net()
    net.opt.num_threads = threads // streams
    net.opt.use_winograd_convolution = True
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, "use_" + option, False)
    param, weights = ncnn_files(model, shape)
    if net.load_param(str(param)) or net.load_model(str(weights)):
        raise RuntimeError("ncnn does not load what its converter wrote")
    source, sink = net.input_names()[0], net.output_names()[0]

    def run(x):
        with net.create_extractor() as extractor:
            extractor.input(source, ncnn.Mat(x[0]))
            return extractor.extract(sink)[1].numpy()
    return shape, lambda stream: run


def fixed(shape):
    return [size if isinstance(size, int) else 1 for size in shape]


def input_data(shape):
    import numpy
    return numpy.random.default_rng(1).random(shape, dtype=numpy.float32)


# ---- one measurement of a peer, in a process of its own ----

def measure_stream(run, data, end, latencies):
    begin = time.perf_counter()
    while begin < end or not latencies:
        run(data)
        now = time.perf_counter()
        latencies.append(now - begin)
        begin = now


def worker(args):
    """Prints {"fps", "latency_ms", "first_ms"}; stores the output where --output says."""
    import numpy
    if args.worker == "ncnn":
        ncnn_engine(args.models[0], 1, 1)  # converts, which is no part of loading
    begin = time.perf_counter()
    shape, runner = globals()[args.worker + "_engine"](args.models[0], args.threads, args.streams)
    data = input_data(shape)
    runs = [runner(stream) for stream in range(args.streams)]
    output = runs[0](data)
    first_ms = (time.perf_counter() - begin) * 1e3
    if args.output:
        numpy.save(args.output, numpy.array(output))
    for run in runs * WARM_UP_FRAMES:
        run(data)
    latencies = [[] for _ in runs]
    begin = time.perf_counter()
    workers = [threading.Thread(target=measure_stream,
                                args=(run, data, begin + args.seconds, latencies[i]))
               for i, run in enumerate(runs)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    every = sum(latencies, [])
    print(json.dumps({"fps": len(every) / (time.perf_counter() - begin),
                      "latency_ms": statistics.median(every) * 1e3, "first_ms": first_ms}))


# ---- measuring all ----

def measure(engine, model, threads, streams, args, output=None):
    if engine == "lcip":
        command = [args.lcip, "bench", model, "--json", "--threads", str(threads // streams),
                   "--streams", str(streams), "--seconds", str(args.seconds)]
    else:
        command = [sys.executable, __file__, "--worker", engine, "--threads", str(threads), "--streams",
                   str(streams), "--seconds", str(args.seconds), model]
        if output:
            command[-1:-1] = ["--output", output]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"{engine}: {lines[-1]}")
    result = json.loads(done.stdout.strip().splitlines()[-1] if engine != "lcip" else done.stdout)
    if engine == "lcip":
        result = {"fps": result["fps"], "latency_ms": result["latency_ms"]["p50"],
                  "first_ms": result["first_inference_ms"]}
    return result


def lcip_output(model, folder, args):
    """LCIP's first output for the peers' input."""
    import numpy
    import onnxruntime
    session = onnxruntime.InferenceSession(str(model))
    port = session.get_inputs()[0]
    source, out = folder / "in.npy", folder / "out"
    numpy.save(source, input_data(fixed(port.shape)))
    subprocess.run([str(args.lcip), "run", str(model), "--input", f"{port.name}={source}", "--output",
                    str(out)], check=True, stdout=subprocess.DEVNULL)
    name = session.get_outputs()[0].name
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    return numpy.load(out / (safe + ".npy"))


def output_differences(model, engines, args):
    """Largest difference from ONNX Runtime's output as a share of its largest value."""
    import numpy
    differences = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        quick = argparse.Namespace(**{**vars(args), "seconds": 0.01})
        outputs = {}
        for engine in ["onnxruntime"] + [e for e in engines if e not in ("lcip", "onnxruntime")]:
            path = folder / f"{engine}.npy"
            measure(engine, model, args.threads, 1, quick, path)
            outputs[engine] = numpy.load(path)
        outputs["lcip"] = lcip_output(model, folder, args)
        reference = outputs["onnxruntime"].ravel()
        for engine, output in outputs.items():
            scale = max(float(abs(reference).max()), 1e-6)
            differences[engine] = float(abs(output.ravel() - reference).max()) / scale
    return differences


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summary(runs, threads):
    """@runs: {(streams): [measurement]} of one engine."""
    by_streams = {streams: spread([run["fps"] for run in some]) for streams, some in runs.items()}
    best = max(by_streams, key=lambda streams: by_streams[streams]["median"])
    return {"throughput_fps": by_streams[best], "streams": best, "threads": threads,
            "latency_ms": spread([run["latency_ms"] for run in runs[1]]),
            "first_inference_ms": spread([run["first_ms"] for run in runs[1]])}


def compare_model(model, engines, args):
    runs, failed = {engine: {} for engine in engines}, {}
    for _ in range(args.rounds):
        for streams in sorted({1, args.threads}):
            for engine in engines:
                if engine in failed:
                    continue
                try:
                    result = measure(engine, model, args.threads, streams, args)
                    runs[engine].setdefault(streams, []).append(result)
                except RuntimeError as error:
                    failed[engine] = str(error)
    good = [engine for engine in engines if engine not in failed]
    result = {"model": model.stem, "failed": failed,
              "engines": {engine: summary(runs[engine], args.threads) for engine in good}}
    for engine, difference in output_differences(model, good, args).items():
        if engine in good:
            result["engines"][engine]["difference"] = difference
    return result


def print_model(result):
    print(f"\n{result['model']}")
    engines = result["engines"]
    peers = [e for e in engines if e != "lcip"]
    for name, e in engines.items():
        fps, ms = e["throughput_fps"], e["latency_ms"]
        print(f"  {name:12} {fps['median']:8.2f} fps ({fps['min']:.2f} to {fps['max']:.2f}, {e['streams']} "
              f"stream{'s' if e['streams'] > 1 else ''})  {ms['median']:8.2f} ms ({ms['min']:.2f} to "
              f"{ms['max']:.2f})  first {e['first_inference_ms']['median']:6.0f} ms  difference "
              f"{e.get('difference', float('nan')):.1e}")
    for name, why in result["failed"].items():
        print(f"  {name:12} not measured: {why}")
    if "lcip" in engines and peers:
        fps = max(engines[p]["throughput_fps"]["median"] for p in peers)
        ms = min(engines[p]["latency_ms"]["median"] for p in peers)
        result["throughput_ratio"] = engines["lcip"]["throughput_fps"]["median"] / fps
        result["latency_ratio"] = ms / engines["lcip"]["latency_ms"]["median"]
        print(f"  {'lcip/best':12} {result['throughput_ratio']:8.2f} x throughput, "
              f"{result['latency_ratio']:.2f} x latency")
    sys.stdout.flush()


# ---- the environment ----

def enter_venv(folder):
    """Runs this script again in an environment with the peers."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    probe = subprocess.run([str(python), "-c", "import ncnn, numpy, onnxruntime, openvino"],
                           stderr=subprocess.DEVNULL)
    if probe.returncode:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        *PACKAGES], check=True)
    os.execv(python, [str(python), __file__, *sys.argv[1:]])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lcip", type=pathlib.Path, default=ROOT / "build/runtime/cli/lcip")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--venv", type=pathlib.Path, default=pathlib.Path(__file__).parent / "venv")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--streams", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    return parser.parse_args()


def main():
    args = arguments()
    if args.worker:
        worker(args)
        return
    if pathlib.Path(sys.prefix).resolve() != args.venv.resolve():
        enter_venv(args.venv)
    engines = ["lcip"] + [peer for peer in args.peers.split(",") if peer]
    results = []
    for model in args.models:
        results.append(compare_model(model, engines, args))
        print_model(results[-1])
        if args.json:
            args.json.write_text(json.dumps({"threads": args.threads, "seconds": args.seconds,
                                             "rounds": args.rounds, "results": results}, indent=1))
    ratios = [r["throughput_ratio"] for r in results if "throughput_ratio" in r]
    if ratios:
        print(f"\ngeometric mean of lcip/best over {len(ratios)} models: "
              f"{statistics.geometric_mean(ratios):.2f}")


if __name__ == "__main__":
    main()
