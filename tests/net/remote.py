"""A worker on a host of the lab, and a client that is paired with it."""
import os
import re
import subprocess

from lab import LabError, check

PORT = 5577
ADDRESS = f"tcp://{{}}:{PORT}/cpu"


class Worker:
    """lcip worker on a host: its own keys and cache, in the lab's folder."""

    def __init__(self, build, net, host, address=None, core=None):
        self.lcip = build / "runtime/cli/lcip"
        self.host = net.hosts[host]
        self.address = f"tcp://{address or self.host.address}:{PORT}"
        self.home = make_home(net, "worker")
        self.prefix = ["taskset", "-c", str(core)] if core is not None else []
        self.log = open(net.folder / "worker.log", "wb")
        self.process = None

    def start(self, *options):
        """The socket is there when this returns."""
        self.process = self.host.start(
            self.prefix + [self.lcip, "worker", "--listen", self.address, *options], env=self.home,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        first = self.process.stderr.readline()
        self.log.write(first)
        if b"listening" not in first:
            raise LabError(f"the worker does not start: {first.decode()}")
        self.drain()

    def drain(self):
        """What it says goes on into the log."""
        pipe, log = self.process.stderr, self.log
        subprocess.Popen(["cat"], stdin=pipe, stdout=log)
        pipe.close()

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def make_home(net, name):
    """An environment in which lcip's keys and caches lie in a folder of the lab."""
    folder = net.folder / name
    folder.mkdir(exist_ok=True)
    return dict(os.environ, XDG_CONFIG_HOME=str(folder / "config"), XDG_CACHE_HOME=str(folder / "cache"))


def public_key(lcip, home):
    found = re.search(r"public key +([0-9a-f]{64})", check([lcip, "worker", "key"], home))
    if not found:
        raise LabError("lcip worker key shows no key")
    return found[1]


def pair(build, net, worker):
    """Makes both sides' keys known to each other; returns the client's environment."""
    lcip = build / "runtime/cli/lcip"
    home = make_home(net, "client")
    check([lcip, "worker", "allow", public_key(lcip, home), "client", "--yes"], worker.home)
    check([lcip, "pair", worker.address, "--key", public_key(lcip, worker.home), "--yes"], home)
    return home
