#!/usr/bin/env python3
"""make-seeds.py READER FOLDER: fills FOLDER with what a fuzzer of READER begins with: small files of
Debian's libonnx-testdata, of the tests' corpus, of the examples and goldens, made ones, and past
findings."""
import hashlib
import json
import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUITE = pathlib.Path("/usr/share/libonnx-testdata/data")
MAX_BYTES = 32 << 10
ZEROS = b"0" * 64


def small(paths):
    return [p.read_bytes() for p in sorted(paths) if p.is_file() and p.stat().st_size <= MAX_BYTES]


def safetensors(**tensors):
    header, data = {}, b""
    for key, (dtype, shape, raw) in tensors.items():
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def weights():
    yield from small((ROOT / "tests/corpus").glob("*.safetensors"))
    yield safetensors()
    for dtype, size in [("F32", 4), ("F16", 2), ("BF16", 2), ("F64", 8), ("I8", 1), ("U8", 1), ("I16", 2),
                        ("U16", 2), ("I32", 4), ("U32", 4), ("I64", 8), ("U64", 8), ("BOOL", 1)]:
        yield safetensors(a=(dtype, [], bytes(size)), b=(dtype, [2, 3], bytes(6 * size)), c=(dtype, [0], b""))
    for path in (ROOT / "graphs").glob("*.safetensors"):  # their headers, the data cut away: an error's way
        with path.open("rb") as file:
            yield file.read(MAX_BYTES)


def arrays():
    yield from small((ROOT / "tests/goldens").glob("**/*.npy"))
    for version in 1, 2, 3:
        for kind in "<f4", "<f2", "<f8", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "|b1", ">f4":
            for shape, order in ("()", False), ("(3,)", False), ("(2, 3)", True), ("(0, 4)", False):
                text = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
                length = struct.pack("<H" if version == 1 else "<I", len(text))
                yield b"\x93NUMPY" + bytes([version, 0]) + length + text + bytes(6 * int(kind[2:]))


def models():
    yield from small(SUITE.glob("*/*/model.onnx"))
    yield from small(SUITE.glob("*/*/*/*.pb"))


def documents():
    """The document, a zero byte, its weights; the weights' hash as 64 zeros (see fuzz-xml.c)."""
    for path in sorted((ROOT / "tests/corpus").glob("*.xml")) + sorted((ROOT / "graphs").glob("*.xml")):
        text = path.read_bytes()
        name = re.search(rb'weights="([^"/]*)"', text)
        file = path.parent / name[1].decode(errors="replace") if name else None
        if not file or not file.is_file() or len(text) + file.stat().st_size > MAX_BYTES:
            yield text
            continue
        data = file.read_bytes()
        text = text.replace(name[0], b'weights="w.safetensors"')
        yield text.replace(hashlib.sha256(data).hexdigest().encode(), ZEROS) + b"\0" + data


def text(string):
    return struct.pack("<H", len(string)) + string.encode()


def messages():
    """Type, for a session or not, fields and payload (see fuzz-wire.c); fields as docs/protocol.md has them."""
    for kind in range(16):
        for session in 0, 1:
            for fields in b"", bytes(64), text("lcip 1") + text("name") + bytes(32):
                yield bytes([kind, session]) + fields
    entry = text("key") + struct.pack("<BBqq", 1, 2, 3, 4) + bytes(32)
    yield from (b"\1" + entry, b"\2" + entry + entry)


HELLO, DEPLOY, BULK, FRAME, PING, BYE = 1, 3, 4, 7, 10, 13  # LcipWireType
F32 = 1  # LcipType


def spec(*dims):
    return struct.pack("<BBBB", F32, F32, len(dims), 0) + struct.pack(f"<{len(dims)}I", *dims)


def frame(n_bytes, *specs):
    return struct.pack("<QQI", 3, n_bytes, len(specs)) + b"".join(specs) + bytes(min(n_bytes, 1 << 18))


def record(kind, session, body=b""):
    return struct.pack("<BBH", kind, session, len(body)) + body


def document(operator, inputs, output, attributes="", out="1 2 4 4"):
    """A graph of one actor that a client may deploy: its lane and mapping are called worker."""
    edges = "".join(f'<edge from="x" to="a" to-port="{port}"/>' for port in inputs)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<lcip xmlns="urn:lcip:graph:1" version="1">
  <graph name="part" opset="21" source-opset="21">
    <description/>
    <input id="x" name="x" type="f32" shape="1 2 4 4"/>
    <output id="y" name="y" type="f32" shape="{out}"/>
    <actor id="a" name="" domain="" operator="{operator}" inputs="{len(inputs)}" outputs="1">{attributes}</actor>
    {edges}
    <edge from="a" from-port="{output}" to="y"/>
  </graph>
  <platform><lane name="worker" kind="cpu" threads="1"/></platform>
  <mapping name="worker" active="true"><assign actor="a" lane="worker"/></mapping>
  <layout/>
</lcip>
""".encode()


def deploys():
    """Sessions with one document each; see fuzz-deploy.c."""
    kernel = '<attribute name="kernel_shape" type="ints">2 2</attribute>'
    documents = [document("Relu", ["X"], "Y"), document("Softmax", ["input"], "output"),
                 document("Add", ["A", "B"], "C"), document("MaxPool", ["X"], "Y", kernel, "1 2 3 3"),
                 document("GlobalMaxPool", ["X"], "Y", "", "1 2 1 1")]
    hello = record(HELLO, 0, text("lcip") + text("me"))
    deploy = record(DEPLOY, 1, text("cpu") + struct.pack("<IIIIQQ", 1, 1, 2, 0, 0, 0))
    first = record(FRAME, 1, frame(128, spec(1, 2, 4, 4)))
    ping, bye, wait = record(PING, 0, struct.pack("<Q", 5)), record(BYE, 1, text("done")), record(0, 0)
    for data in documents:
        bulk = record(BULK, 1, struct.pack("<IQ", 0, 0) + data)
        yield hello + deploy + bulk + wait + wait + first + wait + first + wait + bye + ping
        yield hello + ping + deploy + bulk + wait + wait + first + first + first
        yield hello + deploy + bulk[:4 + 12 + 200] + bulk


SEEDS = {"deploy": deploys, "npy": arrays, "onnx": models, "safetensors": weights, "wire": messages, "xml": documents}


def main():
    reader, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    findings = small((ROOT / "tests/fuzz/findings" / reader).glob("*"))
    for data in [*SEEDS[reader](), *findings]:
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


main()
