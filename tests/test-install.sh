#!/bin/sh
# Installs into an empty folder, builds examples/load-plan-run.c by nothing but the installed pkg-config
# file, and runs it. Exit code 77: skipped.
#   test-install.sh BUILD SOURCE PREFIX COMPILER [FLAG]...
set -eu

build=$1
source=$2
prefix=$3
shift 3

command -v pkg-config >/dev/null || exit 77
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

DESTDIR=$root meson install -C "$build" --no-rebuild --quiet

pc=$(find "$root" -name lcip.pc)
lib=$(dirname "$(find "$root" -name 'liblcip.so')")
[ -n "$pc" ] || { echo "lcip.pc is not installed" >&2; exit 1; }

# The file as installed, but for the prefix, which DESTDIR moved.
mkdir "$root/pkgconfig"
sed "s|^prefix=.*|prefix=$root$prefix|" "$pc" >"$root/pkgconfig/lcip.pc"
PKG_CONFIG_PATH=$root/pkgconfig:${PKG_CONFIG_PATH:-}
export PKG_CONFIG_PATH
cflags=$(pkg-config --cflags lcip)
libs=$(pkg-config --libs lcip)
# shellcheck disable=SC2086 # lists of words
"$@" -Wall -Wextra -Wno-unused-parameter -Werror "$source/examples/load-plan-run.c" \
  -o "$root/load-plan-run" $cflags $libs

LD_LIBRARY_PATH=$lib "$root/load-plan-run" "$source/data/models/selfie-segmentation-256.onnx" \
  >"$root/output"
cat "$root/output"
grep -q 'output activation_10_out: 1x256x256x1' "$root/output"

# The installed command finds its library too, and every example graph and schema is installed.
LD_LIBRARY_PATH=$lib "$root$prefix/bin/lcip" devices
for file in "$source"/graphs/*.xml "$source"/graphs/*.safetensors "$source"/graphs/*.json \
  "$source"/graphs/*.rng; do
  find "$root" -name "$(basename "$file")" | grep -q . || { echo "$file is not installed" >&2; exit 1; }
done
