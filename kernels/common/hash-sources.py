#!/usr/bin/env python3
"""Writes the hash of all C sources below a folder as a C string, and what it depends on for ninja:
hash-sources.py OUTPUT.c DEPFILE NAME FOLDER TEXT..., where the TEXTs go into the hash too."""

import hashlib
import pathlib
import sys


def main(output, depfile, name, folder, texts):
    sources = sorted(path for path in pathlib.Path(folder).rglob("*.[ch]"))
    digest = hashlib.sha256("\0".join(texts).encode())
    for path in sources:
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    with open(output, "w", encoding="ascii") as out:
        out.write('#include "lcip-kernel.h"\n\nconst char %s[] = "%s";\n' % (name, digest.hexdigest()[:16]))
    with open(depfile, "w", encoding="utf-8") as out:
        out.write("%s: %s\n" % (output, " ".join(str(path).replace(" ", "\\ ") for path in sources)))


main(*sys.argv[1:5], sys.argv[5:])
