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


SEEDS = {"npy": arrays, "onnx": models, "safetensors": weights, "wire": messages, "xml": documents}


def main():
    reader, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    findings = small((ROOT / "tests/fuzz/findings" / reader).glob("*"))
    for data in [*SEEDS[reader](), *findings]:
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


main()
