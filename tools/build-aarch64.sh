#!/bin/sh
# tools/build-aarch64.sh FOLDER [meson option]...: builds liblcip, the lcip command and the tests for 64-bit
# ARM. Exit code 77, after naming what is missing, where that can't be done or the tests could not run.
set -eu
cd "$(dirname "$0")/.."

missing=
for tool in aarch64-linux-gnu-gcc aarch64-linux-gnu-pkg-config qemu-aarch64-static; do
  command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -z "$missing" ]; then
  for module in glib-2.0 gio-unix-2.0 libxml-2.0 json-glib-1.0; do
    aarch64-linux-gnu-pkg-config --exists "$module" || missing="$missing $module:arm64"
  done
fi
if [ -n "$missing" ]; then
  echo "No tests for 64-bit ARM: missing$missing (see README.md)"
  exit 77
fi

folder=$1
shift
tools/build.sh "$folder" --cross-file tools/aarch64-linux-gnu.ini -Dapp=disabled -Dgstreamer=disabled \
  -Dbuildtype=release "$@"
