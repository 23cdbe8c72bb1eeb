#!/usr/bin/env python3
"""Is a worker that announces itself found from another host, and gone when it ends? TAP.

    tests/net/test-discovery.py BUILD

Each host of the lab has a system bus and an Avahi daemon of its own.
"""
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import lab
import remote

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"""
AVAHI = """[server]
host-name={}
use-ipv4=yes
use-ipv6=no
allow-interfaces={}
[wide-area]
enable-wide-area=no
[publish]
publish-hinfo=no
publish-workstation=no
"""


class Daemons:
    """A bus and Avahi on a host. Their fixed paths below /run are private to them."""

    def __init__(self, net, host, device):
        self.address = f"unix:path={net.folder}/bus-{host.name}"
        bus, conf = net.folder / f"bus-{host.name}.xml", net.folder / f"avahi-{host.name}.conf"
        bus.write_text(BUS.format(net.folder / f"bus-{host.name}"), encoding="utf-8")
        conf.write_text(AVAHI.format(f"lab-{host.name}", device), encoding="utf-8")
        self.log = open(net.folder / f"avahi-{host.name}.log", "wb")
        self.bus = host.start(["dbus-daemon", f"--config-file={bus}", "--nofork"], stderr=self.log)
        lab.wait_for("a bus", (net.folder / f"bus-{host.name}").exists)
        script = f"mount -t tmpfs tmpfs /run && exec avahi-daemon -f {conf} --no-drop-root --no-chroot " \
                 "--no-rlimits --no-proc-title --debug"
        self.avahi = host.start(["unshare", "--mount", "sh", "-c", script], stdout=self.log, stderr=self.log,
                                env=dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.address))

    def environment(self, home):
        return dict(home, DBUS_SYSTEM_BUS_ADDRESS=self.address)

    def close(self):
        for process in (self.avahi, self.bus):
            process.terminate()
            process.wait()


def discover(lcip, environment):
    done = subprocess.run([lcip, "pair", "--discover"], capture_output=True, text=True, check=False,
                          env=environment)
    return done.returncode, done.stdout, done.stderr


def found_in_time(lcip, environment, wanted, seconds=30):
    """The last answer, and whether it was as wanted in that time: the network settles first."""
    end = time.monotonic() + seconds
    while True:
        code, out, words = discover(lcip, environment)
        if code == 0 and wanted(out):
            return True, out
        if time.monotonic() > end:
            return False, f"{code} {out} {words}"


def results(build, net, daemons):
    """(name, passed, what was found) of each check."""
    lcip = build / "runtime/cli/lcip"
    worker = remote.Worker(build, net, "b", "0.0.0.0")
    home = daemons["a"].environment(remote.make_home(net, "client"))
    worker.home = daemons["b"].environment(worker.home)
    passed, out = found_in_time(lcip, home, lambda out: out == "")
    yield "nobody is there", passed, out
    worker.start()
    passed, out = found_in_time(lcip, home, lambda out: out == "", seconds=5)
    yield "who does not announce is not found", passed, out
    worker.kill()
    worker.start("--announce")
    line = f"tcp://{net.hosts['b'].address}:{remote.PORT}"
    passed, out = found_in_time(lcip, home, lambda out: out.startswith(line) and "LCIP on" in out)
    yield "a worker is found", passed, out
    known = subprocess.run([lcip, "devices"], capture_output=True, text=True, check=True, env=home).stdout
    yield "and not trusted", "tcp://" not in known, known
    worker.kill()
    passed, out = found_in_time(lcip, home, lambda out: out == "")
    yield "who ends is not found any more", passed, out


def run(build):
    with lab.Lab(link="veth") as net:
        a, b = net.hosts["a"], net.hosts["b"]
        daemons = {"a": Daemons(net, a, b.link.devices[0]), "b": Daemons(net, b, b.link.devices[1])}
        n = 0
        for name, passed, found in results(build, net, daemons):
            n += 1
            said = " ".join(found.split())
            print(f"{'ok' if passed else 'not ok'} {n} - {name} # {said}", flush=True)
        print(f"1..{n}")
        for each in daemons.values():
            each.close()


def main():
    try:
        for tool in ("avahi-daemon", "dbus-daemon"):
            if not shutil.which(tool):
                raise lab.LabMissing(f"{tool} is missing (Debian: {tool})")
        lab.enter()
        run(Path(sys.argv[1]))
    except lab.LabMissing as error:
        print(f"1..0 # SKIP {error}")


if __name__ == "__main__":
    main()
