#!/usr/bin/env python3
"""Breaks the network and the worker of a running graph at random, and counts every frame.

    tests/net/chaos [--minutes M] [--seed N] [--faults kill,cut,delay,loss] [GRAPH.xml]

A lossless camera gives 30 pictures a second; the middle of the graph runs on a worker on another host of
tests/net/lab.py. One fault after the other, each at a random time and for a random while:

    kill   kill -9 of the worker, and a start of another one
    cut    the link is dead
    delay  200 ms each way
    loss   5 % of the packets

Fails unless every frame is answered exactly once, in order, with the bits that the client computes alone;
unless pictures taken after a fault come out within 2 s of it; unless the worker computes again after each
fault; and unless memory stays flat.
"""
import argparse
import collections
import random
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import lab
from remote import ADDRESS, Worker, pair

# RECOVERY_S: from a fault to the first picture that was taken after it. RETURN_S: from its end until the
# worker computes again. GROWTH: of the client's memory, from SETTLE (a share of the time) to the end.
RECOVERY_S = 2.0
RETURN_S = 10.0
GROWTH = 0.02
SETTLE = 0.2
KINDS = ("kill", "cut", "delay", "loss")


@dataclass
class Fault:
    kind: str
    start_ns: int
    end_ns: int = 0
    returned_ns: int = 0
    recovered_ns: int = 0


@dataclass
class Frame:
    number: int
    scheduled_ns: int
    latency_ns: int
    verdict: str

    @property
    def delivered_ns(self):
        return self.scheduled_ns + self.latency_ns


@dataclass
class Client:
    """lcip-chaos, and what it has said so far."""
    process: subprocess.Popen
    frames: list = field(default_factory=list)
    other: dict = field(default_factory=dict)
    lane: str = "new"
    remote: int = 0
    losses: collections.Counter = field(default_factory=collections.Counter)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def read(self):
        for line in self.process.stdout:
            words = line.split()
            with self.changed:
                self.take(words[0], words[1:])
                self.changed.notify_all()
        with self.changed:
            self.other["closed"] = []
            self.changed.notify_all()

    def take(self, what, words):
        if what == "frame":
            self.frames.append(Frame(int(words[0]), int(words[1]), int(words[2]), words[3]))
        elif what == "lane":
            if words[0] == "offline" and self.lane != "offline":
                self.losses[re.sub(r"frame \d+", "a frame", " ".join(words[2:]))] += 1
            self.lane, self.remote = words[0], int(words[1])
        else:
            self.other[what] = words

    def wait(self, condition, seconds):
        with self.changed:
            done = self.changed.wait_for(
                lambda: condition() or "closed" in self.other, seconds)
        if "closed" in self.other and not condition():
            raise lab.LabError("the client ended by itself")
        return done

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def memory(self):
        self.other.pop("memory", None)
        self.say("memory")
        if not self.wait(lambda: "memory" in self.other, 20):
            raise lab.LabError("the client does not answer")
        return int(self.other["memory"][0])

    def wait_for_worker(self, seconds):
        """Until the lane is ready and results have come from it since now."""
        before = self.remote
        return self.wait(lambda: self.lane == "ready" and self.remote > before + 2, seconds)


def sleep_until(client, end):
    """Sleeps, unless the client ends first."""
    while time.monotonic() < end:
        client.wait(lambda: False, min(0.2, max(0, end - time.monotonic())))


def break_and_mend(kind, host, worker, dice, client):
    """One fault; returns when its cause is gone."""
    fault = Fault(kind, time.monotonic_ns())
    if kind == "kill":
        worker.kill()
        sleep_until(client, time.monotonic() + dice.uniform(0, 3))
        worker.start()
    else:
        words = {"cut": ("cut", "join"), "delay": ("delay=200", "delay=0"), "loss": ("loss=5", "loss=0")}
        host.link.set(words[kind][0])
        fault.start_ns = time.monotonic_ns()
        sleep_until(client, time.monotonic() + dice.uniform(0.2, 4 if kind == "cut" else 8))
        host.link.set(words[kind][1])
    fault.end_ns = time.monotonic_ns()
    return fault


def fill_buffers(host, client):
    """As many frames in flight as there can be, at the worker and then at home, while the sink is slow: buffers
    are made when they are first needed and kept, so memory is flat only from then on."""
    if not client.wait_for_worker(60):
        raise lab.LabError("the worker never began to compute")
    client.say("slow")
    sleep_until(client, time.monotonic() + 5)
    host.link.set("cut")
    client.say("slow")
    if not client.wait(lambda: client.lane == "offline", 10):
        raise lab.LabError("the lane does not go offline")
    sleep_until(client, time.monotonic() + 5)
    host.link.set("join")
    if not client.wait_for_worker(RETURN_S):
        raise lab.LabError(f"the worker did not compute again within {RETURN_S} s")
    sleep_until(client, time.monotonic() + 3)


def run_faults(args, host, worker, client, dice):
    """The whole time; returns the faults, the memory when settled and at the end, and when it began."""
    faults, settled = [], 0
    fill_buffers(host, client)
    start = time.monotonic()
    end = start + args.minutes * 60
    while True:
        sleep_until(client, min(end, time.monotonic() + dice.uniform(2, 6)))
        if not settled and time.monotonic() - start >= SETTLE * args.minutes * 60:
            settled = client.memory()
        if time.monotonic() >= end:
            return faults, settled, client.memory(), int(start * 1e9)
        fault = break_and_mend(dice.choice(args.faults), host, worker, dice, client)
        faults.append(fault)
        if client.wait_for_worker(RETURN_S):
            fault.returned_ns = time.monotonic_ns()
        print(f"  {(fault.start_ns / 1e9 - start):7.1f} s  {describe(fault)}, memory "
              f"{client.memory() / 2**20:.1f} MiB", flush=True)
        if not fault.returned_ns:
            raise lab.LabError(f"the worker did not compute again within {RETURN_S} s")


def describe(fault):
    lasted = (fault.end_ns - fault.start_ns) / 1e9
    back = (fault.returned_ns - fault.end_ns) / 1e9 if fault.returned_ns else float("nan")
    return f"{fault.kind:5s} for {lasted:.2f} s, the worker is back after {back:.2f} s"


def measure_recovery(faults, frames):
    """Sets when the first frame that was taken after each fault came out."""
    for fault in faults:
        after = [f.delivered_ns for f in frames if f.scheduled_ns >= fault.start_ns]
        fault.recovered_ns = after[0] if after else 0


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0


def report(args, faults, client, settled, end_bytes, start_ns):
    """Prints the counts; True when all is well. Latencies are of pictures taken since @start_ns."""
    frames = client.frames
    measure_recovery(faults, frames)
    issued, delivered = (int(word) for word in client.other.get("end", ("0", "0")))
    verdicts = {v: sum(f.verdict == v for f in frames) for v in ("ok", "wrong", "lost", "repeated")}
    latencies = [f.latency_ns / 1e9 for f in frames if f.scheduled_ns >= start_ns]
    growth = end_bytes / settled - 1 if settled else float("inf")
    recoveries = [(f.recovered_ns - f.start_ns) / 1e9 if f.recovered_ns else float("inf")
                  for f in faults]
    print(f"pictures taken      {issued}")
    print(f"frames answered     {delivered} ({delivered / (args.minutes * 60):.1f} a second), "
          f"{client.remote} of them by the worker")
    print(f"right               {verdicts['ok']}")
    print(f"wrong               {verdicts['wrong']}")
    print(f"lost                {issued - delivered + verdicts['lost']}")
    print(f"repeated, reordered {verdicts['repeated']}")
    for kind in KINDS:
        of_kind = [r for r, f in zip(recoveries, faults) if f.kind == kind]
        back = [(f.returned_ns - f.end_ns) / 1e9 for f in faults if f.kind == kind]
        if of_kind:
            print(f"{kind:5s} {len(of_kind):4d} times     recovery median {percentile(of_kind, .5):.2f} s, "
                  f"worst {max(of_kind):.2f} s; worker back median {percentile(back, .5):.2f} s, "
                  f"worst {max(back):.2f} s")
    for reason, n in client.losses.most_common():
        print(f"lane offline {n:3d} x   {reason}")
    print(f"latency             median {percentile(latencies, .5):.3f} s, 99 % "
          f"{percentile(latencies, .99):.3f} s, worst {max(latencies, default=0):.3f} s")
    print(f"memory              {settled / 2**20:.2f} MiB after {SETTLE:.0%} of the time, "
          f"{end_bytes / 2**20:.2f} MiB at the end ({growth:+.2%}, allowed {GROWTH:+.0%})")
    return (issued > 0 and issued == delivered == verdicts["ok"] and bool(faults) and
            max(recoveries) <= RECOVERY_S and max(latencies) <= RECOVERY_S and growth <= GROWTH)


def start_client(args, net, home):
    command = [args.build / "tests/net/lcip-chaos", "--device", ADDRESS.format(net.hosts["b"].address)]
    process = net.hosts["a"].start(command + args.graph, env=home, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
    client = Client(process)
    threading.Thread(target=client.read, daemon=True).start()
    return client


def chaos(args):
    dice = random.Random(args.seed)
    with lab.Lab(relay=args.build / "tests/net/tun-relay", seed=args.seed) as net:
        host = net.hosts["b"]
        worker = Worker(args.build, net, "b")
        home = pair(args.build, net, worker)
        worker.start()
        client = start_client(args, net, home)
        try:
            faults, settled, end_bytes, start_ns = run_faults(args, host, worker, client, dice)
            client.say("end")
            client.wait(lambda: "end" in client.other, 30)
            client.process.wait(30)
        finally:
            client.process.kill()
            worker.kill()
        ok = report(args, faults, client, settled, end_bytes, start_ns) and client.process.returncode == 0
    print("passed" if ok else "FAILED")
    return 0 if ok else 1


def faults_argument(text):
    kinds = text.split(",")
    if not set(kinds) <= set(KINDS):
        raise argparse.ArgumentTypeError(f"expected some of {','.join(KINDS)}")
    return kinds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=faults_argument, default=list(KINDS))
    parser.add_argument("--build", type=Path, default=lab.ROOT / "build")
    parser.add_argument("graph", nargs="*")
    args = parser.parse_args()
    try:
        lab.enter()
        lab.end_on_signals()
        print(f"{args.minutes:g} minutes of {', '.join(args.faults)}, seed {args.seed}", flush=True)
        return chaos(args)
    except lab.LabError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return lab.SKIP if isinstance(error, lab.LabMissing) else 1


if __name__ == "__main__":
    sys.exit(main())
