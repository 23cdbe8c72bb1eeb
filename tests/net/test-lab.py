#!/usr/bin/env python3
"""The lab itself: does its link delay, lose, cut and shape as it is told? TAP.

    tests/net/test-lab.py TUN-RELAY
"""
import socket
import sys
import time

import lab

PORT = 4711
ECHO = f"""
import socket, threading
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", {PORT}))
tcp = socket.create_server(("", {PORT}))
def echo():
    while True:
        data, sender = udp.recvfrom(2048)
        udp.sendto(data, sender)
threading.Thread(target=echo, daemon=True).start()
print("up", flush=True)
while True:
    client = tcp.accept()[0]
    while data := client.recv(65536):
        client.sendall(data)
    client.close()
"""


def round_trips(address, n):
    """How many of n datagrams come back, and the seconds that the quickest took."""
    best, answered = float("inf"), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(2)
        for i in range(n):
            start = time.monotonic()
            udp.sendto(i.to_bytes(4, "little"), (address, PORT))
            try:
                while udp.recv(16) != i.to_bytes(4, "little"):
                    pass
                answered += 1
                best = min(best, time.monotonic() - start)
            except TimeoutError:
                pass
    return answered, best


def flood(address, n):
    """Sends n datagrams and waits for no answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for i in range(n):
            udp.sendto(b"x", (address, PORT))
            if i % 20 == 0:
                time.sleep(0.001)


def transfer(address, size):
    """Do size bytes come back from the echo as they were?"""
    data = bytes(range(251)) * (size // 251)
    back = bytearray()
    with socket.create_connection((address, PORT), timeout=30) as tcp:
        for start in range(0, len(data), 1 << 20):
            chunk = data[start:start + (1 << 20)]
            tcp.sendall(chunk)
            while len(back) < start + len(chunk):
                back += tcp.recv(1 << 20)
    return bytes(back) == data


def results(host):
    """(name, passed, what was found) of each check."""
    answered, _ = round_trips(host.address, 5)
    yield "join", answered == 5, f"{answered} of 5 answered"
    yield "bytes", transfer(host.address, 8 << 20), "8 MiB there and back"
    host.link.set("delay=50")
    answered, best = round_trips(host.address, 2)
    yield "delay", answered == 2 and best >= 0.1, f"{answered} of 2 answered, best after {best:.4f} s"
    before = host.link.set("delay=0", "loss=5")["lost"][0]
    flood(host.address, 2000)
    lost = host.link.set("stats")["lost"][0] - before
    yield "loss", 50 <= lost <= 150, f"{lost} of 2000 lost"
    yield "bytes through loss", transfer(host.address, 1 << 20), "1 MiB there and back"
    host.link.set("loss=0", "cut")
    answered, _ = round_trips(host.address, 1)
    yield "cut", answered == 0, f"{answered} of 1 answered"
    host.link.set("join")
    answered, _ = round_trips(host.address, 5)
    yield "join again", answered == 5, f"{answered} of 5 answered"
    try:
        host.link.set("loss=101")
        yield "wrong word", False, "taken"
    except lab.LabError as error:
        yield "wrong word", "loss=101" in str(error), str(error)


def main():
    try:
        lab.enter()
        with lab.Lab(rate="1gbit", relay=sys.argv[1]) as net:
            host = net.hosts["b"]
            echo = host.start([sys.executable, "-c", ECHO], stdout=-1)
            echo.stdout.readline()
            n = 0
            for name, passed, found in results(host):
                n += 1
                print(f"{'ok' if passed else 'not ok'} {n} - {name} # {found}", flush=True)
            print(f"1..{n}")
            echo.kill()
    except lab.LabMissing as error:
        print(f"1..0 # SKIP {error}")


if __name__ == "__main__":
    main()
