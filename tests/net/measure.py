#!/usr/bin/env python3
"""What a lane on another machine costs and gains. Nothing else may run on the machine meanwhile.

    tests/net/measure [link|cut|model]... [--build DIR] [--model MODEL.onnx]

link    10 MB to a worker over 1 Gbit/s and 0.5 ms each way, against the time that iperf3's rate gives
cut     what a cut adds to a frame on loopback, for tensors up to 16 KB: median of the differences
model   a model cut near its middle over two hosts with a core each, against one host with one core
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import lab
from remote import ADDRESS, Worker, pair

SIZES = (256, 1024, 4096, 16384)
MEGABYTES = 10_000_000
SHARES = (0.45, 0.5, 0.55)


def bench(args, home, options, core=None):
    """The words that bench-remote prints, as numbers by name."""
    command = [args.build / "tests/net/bench-remote"] + options
    if core is not None:
        command = ["taskset", "-c", str(core)] + command
    words = lab.check(command, home).split()
    return {words[i]: float(words[i + 1]) for i in range(0, len(words), 2)}


def iperf(host, address, seconds=4):
    """Bytes a second that TCP carries to the host."""
    server = host.start(["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    text = lab.check(["iperf3", "-c", address, "-t", str(seconds), "-J"])
    server.wait(10)
    return json.loads(text)["end"]["sum_received"]["bits_per_second"] / 8


def measure_link(args):
    if not shutil.which("iperf3"):
        raise lab.LabMissing("iperf3 is missing (Debian: iperf3)")
    with lab.Lab(rate="1gbit", delay=0.5, relay=args.build / "tests/net/tun-relay") as net:
        host = net.hosts["b"]
        worker = Worker(args.build, net, "b")
        home = pair(args.build, net, worker)
        worker.start()
        device = ADDRESS.format(host.address)
        before = iperf(host, host.address)
        times = bench(args, home, ["--device", device, "--tensor-bytes", str(MEGABYTES), "--reduce",
                                   "--frames", "60"])
        rate = min(before, iperf(host, host.address))
        worker.kill()
    ideal_ms = MEGABYTES / rate * 1e3
    added_ms = times["cut_ms"] - times["local_ms"]
    print(f"link   iperf3 {rate * 8 / 1e6:.0f} Mbit/s, so {MEGABYTES / 1e6:.0f} MB take {ideal_ms:.1f} ms; "
          f"a frame with the cut {times['cut_ms']:.1f} ms, without {times['local_ms']:.1f} ms; the cut adds "
          f"{added_ms:.1f} ms: {added_ms / ideal_ms:.3f} times iperf3's (goal 1.2)")


def on_loopback(args, do):
    """do(home, device) with a worker on this host."""
    with lab.Lab(hosts=1) as net:
        worker = Worker(args.build, net, "a", address="127.0.0.1", core=args.cores[1])
        home = pair(args.build, net, worker)
        worker.start()
        try:
            return do(home, ADDRESS.format("127.0.0.1"))
        finally:
            worker.kill()


def measure_cut(args):
    def do(home, device):
        for size in SIZES:
            runs = [bench(args, home, ["--device", device, "--tensor-bytes", str(size), "--frames", "2000"],
                          args.cores[0]) for _ in range(3)]
            added = [(run["cut_ms"] - run["local_ms"]) * 1e3 for run in runs]
            print(f"cut    {size:6d} bytes there and back: {statistics.median(added):6.0f} microseconds "
                  f"({min(added):.0f} to {max(added):.0f} in {len(runs)} runs; goal 300)", flush=True)
    on_loopback(args, do)


def measure_model(args):
    def do(home, device):
        common = ["--device", device, "--model", args.model, "--frames", "100"]
        local = bench(args, home, common + ["--local", "--frames-in-flight", "2"], args.cores[0])
        print(f"model  {Path(args.model).name}, one host with one core: {local['local_fps']:.2f} frames a second")
        for share in SHARES:
            cut = bench(args, home, common + ["--cut", "--share", str(share), "--frames-in-flight", "6"],
                        args.cores[0])
            print(f"model  cut after {share:.0%} of the operations, {cut['cut_bytes'] / 1024:.0f} KiB a frame: "
                  f"{cut['cut_fps']:.2f} frames a second, {cut['cut_fps'] / local['local_fps']:.2f} times "
                  f"(goal 1.6)", flush=True)
    on_loopback(args, do)


MEASURES = {"link": measure_link, "cut": measure_cut, "model": measure_model}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("measures", nargs="*", choices=[*MEASURES, []], metavar="link|cut|model")
    parser.add_argument("--build", type=Path, default=lab.ROOT / "build")
    parser.add_argument("--model", default=str(lab.ROOT / "data/models/blazeface-back-256.onnx"))
    args = parser.parse_args()
    args.cores = sorted(os.sched_getaffinity(0))
    if len(args.cores) < 2:
        print("measure: two processors are needed", file=sys.stderr)
        return 1
    try:
        lab.enter()
        lab.end_on_signals()
        for name in args.measures or MEASURES:
            MEASURES[name](args)
        return 0
    except lab.LabError as error:
        print(f"measure: {error}", file=sys.stderr)
        return lab.SKIP if isinstance(error, lab.LabMissing) else 1


if __name__ == "__main__":
    sys.exit(main())
