#!/usr/bin/env python3
"""What a lane's threads lose when another program keeps one of their processors busy.

    neighbour.py MODEL...

Alternates `lcip bench --threads 1` on the free machine with `--threads N`, free and beside a loop that
is pinned to one processor, each in a process of its own, and prints the medians over the rounds of
each process's median latency. A lane that gives way loses little against one thread: the last column
should be 0.95 or more."""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def busy_processor(processor):
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(loop.pid, {processor})
        yield
    finally:
        loop.kill()
        loop.wait()


def latency_ms(args, model, threads):
    done = subprocess.run([args.lcip, "bench", model, "--json", "--threads", str(threads), "--seconds",
                           str(args.seconds)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["latency_ms"]["p50"]


def measure(args, model):
    times = {"one": [], "free": [], "beside": []}
    processors = sorted(os.sched_getaffinity(0))
    for turn in range(args.rounds):
        times["one"].append(latency_ms(args, model, 1))
        times["free"].append(latency_ms(args, model, args.threads))
        with busy_processor(processors[turn % len(processors)]):
            times["beside"].append(latency_ms(args, model, args.threads))
    return {name: statistics.median(some) for name, some in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lcip", type=pathlib.Path, default=ROOT / "build/runtime/cli/lcip")
    parser.add_argument("--seconds", type=float, default=2, help="of a measurement; 2 by default")
    parser.add_argument("--rounds", type=int, default=5, help="5 by default")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="all processors by default")
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    print(f"{'latency ms':24}{'1 thread':>10}{f'{args.threads} threads':>12}{'beside':>10}{'1 / beside':>12}")
    for model in args.models:
        ms = measure(args, model)
        print(f"{model.stem:24}{ms['one']:10.3f}{ms['free']:12.3f}{ms['beside']:10.3f}"
              f"{ms['one'] / ms['beside']:12.3f}", flush=True)


if __name__ == "__main__":
    main()
