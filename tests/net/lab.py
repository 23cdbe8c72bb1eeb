#!/usr/bin/env python3
"""Several hosts on one machine: network namespaces with links of a chosen rate, delay and loss.

    tests/net/lab.py [--hosts N] [--link relay|veth] [--rate 1gbit] [--delay MS] [--jitter MS]
                     [--loss PERCENT] [--seed N] [--relay tun-relay] [COMMAND...]

Runs COMMAND (a shell by default) on host a. Hosts b, c, ... are each linked to it by a veth pair, or by
tests/net/tun-relay.c, which alone can delay, lose and cut. COMMAND finds in its environment

    LAB_B_ADDRESS   where host b is seen from a (10.77.1.2; c is 10.77.2.2)
    LAB_B           what to put before a command that is to run on b
    LAB_B_LINK      what to put before the words that change b's link: $LAB_B_LINK delay=200 loss=5 cut join

and so on for the other hosts. All of it lives in namespaces of the process, network, PIDs and mounts, so the
kernel takes everything away when the lab ends, however it ends. Root is not needed where the kernel lets
people make user namespaces. tests/net/chaos.py and measure.py use the classes.
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSIDE = "LCIP_NET_LAB"
SKIP = 77  # as meson understands it


class LabError(Exception):
    """Something in the lab failed."""


class LabMissing(LabError):
    """What this machine lacks for a lab."""


def enter():
    """Starts this program again inside namespaces of its own, unless it is already there."""
    if os.environ.get(INSIDE):
        del os.environ[INSIDE]
        check(["ip", "link", "set", "lo", "up"])
        return
    for tool in ("unshare", "nsenter", "ip", "tc"):
        if not shutil.which(tool):
            raise LabMissing(f"{tool} is missing (Debian: util-linux, iproute2)")
    command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        command += ["--user", "--map-root-user"]
    probe = subprocess.run(command + ["true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        raise LabMissing(f"no namespaces: {probe.stderr.strip()}; run as root, or allow user namespaces")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", command + [sys.executable] + sys.argv)


def check(command, environment=None):
    """What a tool that must succeed prints; its own words tell why it did not."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                          env=environment)
    if done.returncode != 0:
        raise LabError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def wait_for(what, condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"{what}: not there after {seconds} s")
        time.sleep(0.01)


class Host:
    """A network namespace that lives as long as a process that sleeps in it; host a is our own."""

    def __init__(self, name):
        self.name = name
        self.address = None
        self.link = None
        self.keeper = None
        if name != "a":
            self.keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
            own = os.readlink("/proc/self/ns/net")
            wait_for(f"namespace of host {name}", lambda: os.readlink(self.path) != own)
            check(self.prefix() + ["ip", "link", "set", "lo", "up"])

    @property
    def path(self):
        return f"/proc/{self.keeper.pid if self.keeper else os.getpid()}/ns/net"

    def prefix(self):
        return ["nsenter", f"--net={self.path}", "--"] if self.keeper else []

    def start(self, command, **options):
        """A Popen whose pid is the command's own, so that it can be killed."""
        return subprocess.Popen(self.prefix() + [str(word) for word in command], **options)

    def run(self, command):
        return check(self.prefix() + list(command))

    def configure(self, device, address):
        self.run(["ip", "address", "add", f"{address}/30", "dev", device])
        self.run(["ip", "link", "set", device, "up"])

    def shape(self, device, rate):
        try:
            self.run(["tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate,
                      "burst", "256kb", "latency", "50ms"])
        except LabError as error:
            raise LabMissing(f"no rate limit: the kernel's sch_tbf is needed ({error})") from error


class VethLink:
    """A cable: no delay, no loss."""

    def __init__(self, index, left, right):
        self.devices = (f"veth{index}a", f"veth{index}b")
        left.run(["ip", "link", "add", self.devices[0], "type", "veth", "peer", "name",
                  self.devices[1], "netns", str(right.keeper.pid)])

    def words(self):
        return ["false"]

    def set(self, *words):
        raise LabError(f"a veth link can't be changed: {' '.join(words)}")

    def close(self):
        pass


class RelayLink:
    """tun-relay between two namespaces."""

    def __init__(self, index, left, right, folder, relay, seed):
        self.devices = (f"tun{index}a", f"tun{index}b")
        self.control = folder / f"link{index}"
        self.relay = relay
        try:
            os.close(os.open("/dev/net/tun", os.O_RDWR))
        except OSError as error:
            raise LabMissing(f"the kernel's tun module is needed: {error}") from error
        if not relay.exists():
            raise LabError(f"{relay} is missing: build LCIP with its tests (meson compile -C build)")
        self.process = subprocess.Popen(
            [relay, self.control, str(seed), f"{left.path}:{self.devices[0]}",
             f"{right.path}:{self.devices[1]}"])
        wait_for("tun-relay", lambda: self.control.exists() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise LabError("tun-relay ended at once")

    def words(self):
        return [str(self.relay), "set", str(self.control)]

    def set(self, *words):
        """Returns the relay's counts: passed, lost, overflowed, cut, each there and back."""
        text = check(self.words() + list(words)).split()
        return {text[i]: (int(text[i + 1]), int(text[i + 2])) for i in range(0, len(text), 3)}

    def close(self):
        self.process.terminate()
        self.process.wait()


class Lab:
    """Host a and n - 1 others around it. A context manager."""

    def __init__(self, hosts=2, link="relay", rate=None, delay=0, jitter=0, loss=0, seed=1, relay=None):
        self.folder = Path(tempfile.mkdtemp(prefix="lcip-lab-"))
        self.hosts = {}
        self.relay = Path(relay) if relay else ROOT / "build" / "tests" / "net" / "tun-relay"
        try:
            self.hosts["a"] = Host("a")
            for index in range(1, hosts):
                self.add(index, link, rate, seed)
                if link == "relay":
                    self.hosts[chr(ord("a") + index)].link.set(
                        f"delay={delay}", f"jitter={jitter}", f"loss={loss}")
        except BaseException:
            self.close()
            raise

    def add(self, index, link, rate, seed):
        left, right = self.hosts["a"], Host(chr(ord("a") + index))
        self.hosts[right.name] = right
        if link == "veth":
            right.link = VethLink(index, left, right)
        else:
            right.link = RelayLink(index, left, right, self.folder, self.relay, seed + index)
        right.address = f"10.77.{index}.2"
        left.configure(right.link.devices[0], f"10.77.{index}.1")
        right.configure(right.link.devices[1], right.address)
        if rate:
            left.shape(right.link.devices[0], rate)
            right.shape(right.link.devices[1], rate)

    def environment(self):
        variables = dict(os.environ)
        for name, host in self.hosts.items():
            if host.link:
                variables[f"LAB_{name.upper()}"] = " ".join(host.prefix())
                variables[f"LAB_{name.upper()}_ADDRESS"] = host.address
                variables[f"LAB_{name.upper()}_LINK"] = " ".join(host.link.words())
        return variables

    def close(self):
        for host in self.hosts.values():
            if host.link:
                host.link.close()
            if host.keeper:
                host.keeper.kill()
                host.keeper.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def end_on_signals():
    """So that folders are removed too; the namespaces need no such care."""
    def end(number, _frame):
        sys.exit(128 + number)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=int, default=2, choices=range(2, 10), metavar="N")
    parser.add_argument("--link", choices=["relay", "veth"], default="relay")
    parser.add_argument("--rate", help="as tc takes it: 1gbit")
    parser.add_argument("--delay", type=float, default=0, help="ms, one way")
    parser.add_argument("--jitter", type=float, default=0, help="ms, either way")
    parser.add_argument("--loss", type=float, default=0, help="percent")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--relay", help="the tun-relay program; build/tests/net/tun-relay by default")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    try:
        enter()
        end_on_signals()
        with Lab(args.hosts, args.link, args.rate, args.delay, args.jitter, args.loss, args.seed,
                 args.relay) as lab:
            command = args.command or [os.environ.get("SHELL", "/bin/sh")]
            return subprocess.run(command, env=lab.environment(), check=False).returncode
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return SKIP if isinstance(error, LabMissing) else 1


if __name__ == "__main__":
    sys.exit(main())
