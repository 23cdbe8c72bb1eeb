#!/usr/bin/env python3
"""The engines that compare.py compares with; as a program: one measurement of one of them.

    peers.py ENGINE MODEL --shape 1,3,224,224 --threads N --streams N --seconds S [--output FILE.npy]

Prints a JSON object: fps, latency_ms (median), first_ms (from a loaded library to the first output),
peak_rss_bytes (what the engine added to Python and numpy). Runs in compare.py's environment."""

import argparse
import hashlib
import importlib
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import threading
import time

NAMES = ["onnxruntime", "openvino", "ncnn"]
WARM_UP_FRAMES = 3


# ---- engines: from a model to functions, one a stream, that compute a frame ----

def onnxruntime_runs(module, args):
    options = module.SessionOptions()
    options.intra_op_num_threads = args.threads // args.streams
    options.log_severity_level = 3
    session = module.InferenceSession(str(args.model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [lambda x: session.run(None, {name: x})[0]] * args.streams


def openvino_runs(module, args):
    compiled = module.Core().compile_model(str(args.model), "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": args.threads,
        "NUM_STREAMS": args.streams})

    def run_of(request):
        return lambda x: request.infer([x], share_inputs=True)[0]
    return [run_of(compiled.create_infer_request()) for _ in range(args.streams)]


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
    for large in folder.glob("model.*"):
        if large not in files:
            large.unlink()
    return files


def ncnn_runs(module, args):
    net = module.Net()
    net.opt.num_threads = args.threads // args.streams
    net.opt.use_winograd_convolution = True
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, "use_" + option, False)
    param, weights = args.files
    if net.load_param(str(param)) or net.load_model(str(weights)):
        raise RuntimeError("ncnn does not load what its converter wrote")
    source, sink = net.input_names()[0], net.output_names()[0]

    def run(x):
        with net.create_extractor() as extractor:
            extractor.input(source, module.Mat(x[0]))
            return extractor.extract(sink)[1].numpy()
    return [run] * args.streams


# ---- one measurement ----

def input_data(shape):
    import numpy
    return numpy.random.default_rng(1).random(shape, dtype=numpy.float32)


def peak_rss_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_stream(run, data, end, latencies):
    begin = time.perf_counter()
    while begin < end or not latencies:
        run(data)
        now = time.perf_counter()
        latencies.append(now - begin)
        begin = now


def measure_streams(runs, data, seconds):
    """Latencies of all frames, and frames a second: of each stream over its own time, since one is
    over sooner than the other."""
    latencies = [[] for _ in runs]
    end = time.perf_counter() + seconds
    workers = [threading.Thread(target=measure_stream, args=(run, data, end, some))
               for run, some in zip(runs, latencies)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    return sum(latencies, []), sum(len(some) / sum(some) for some in latencies)


def measure(args):
    import numpy
    data = input_data(args.shape)
    if args.engine == "ncnn":
        args.files = ncnn_files(args.model, args.shape)  # conversion is no part of loading
    before_bytes = peak_rss_bytes()
    module = importlib.import_module(args.engine)
    begin = time.perf_counter()
    runs = globals()[args.engine + "_runs"](module, args)
    output = runs[0](data)
    first_ms = (time.perf_counter() - begin) * 1e3
    if args.output:
        numpy.save(args.output, numpy.array(output))
    for run in runs * WARM_UP_FRAMES:
        run(data)
    latencies, fps = measure_streams(runs, data, args.seconds)
    return {"fps": fps, "latency_ms": statistics.median(latencies) * 1e3, "first_ms": first_ms,
            "peak_rss_bytes": peak_rss_bytes() - before_bytes}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=NAMES)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--shape", type=lambda text: [int(size) for size in text.split(",")])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--output")
    args = parser.parse_args()
    print(json.dumps(measure(args)))


if __name__ == "__main__":
    main()
