#!/usr/bin/env python3
"""Joins OpenCL sources into one C string: embed-cl.py OUTPUT.c NAME SOURCE.cl..."""

import sys


def quote(line):
    return '  "' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"\n'


def main(output, name, sources):
    with open(output, "w", encoding="ascii") as out:
        out.write("extern const char %s[];\nconst char %s[] =\n" % (name, name))
        for source in sources:
            with open(source, encoding="ascii") as lines:
                for line in lines:
                    out.write(quote(line.rstrip("\n")))
        out.write("  ;\n")


main(sys.argv[1], sys.argv[2], sys.argv[3:])
