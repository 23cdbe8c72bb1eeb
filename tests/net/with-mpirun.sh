#!/bin/sh
# Runs a test on three ranks of this machine: with-mpirun.sh PROGRAM ARGUMENT...
# mpirun refuses root unless told; tests run as root in containers. More ranks than processors are fine here.
set -eu

if ! command -v mpirun >/dev/null; then
  echo "1..0 # SKIP mpirun is missing (Debian: openmpi-bin)"
  exit 0
fi
root=
[ "$(id -u)" != 0 ] || root=--allow-run-as-root
# Open MPI leaks at its end, and unloads the plug-ins that did, so that no suppression can name them.
ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
export ASAN_OPTIONS
# shellcheck disable=SC2086 # nothing or a word
exec mpirun $root --oversubscribe --bind-to none -n 3 "$@"
