#!/bin/sh
# with-display.sh SECONDS COMMAND...: runs COMMAND on a display of its own (Xvfb), for SECONDS at most.
# Where there is no Xvfb the test is skipped, and says so.
set -eu
seconds=$1
shift
if ! command -v Xvfb >/dev/null; then
  echo "1..0 # SKIP Xvfb is not installed"
  exit 0
fi
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
server=
Xvfb -displayfd 3 -screen 0 1280x800x24 -nolisten tcp 3>"$folder/display" 2>/dev/null &
server=$!
tries=100
while [ ! -s "$folder/display" ] && [ "$tries" -gt 0 ]; do
  tries=$((tries - 1))
  sleep 0.1
done
if [ ! -s "$folder/display" ]; then
  echo "Bail out! Xvfb did not start"
  exit 1
fi
DISPLAY=:$(cat "$folder/display")
export DISPLAY GDK_BACKEND=x11 GSK_RENDERER=cairo GDK_DEBUG=gl-disable,default-settings
export GSETTINGS_BACKEND=memory GIO_USE_VFS=local XDG_CONFIG_HOME="$folder" LC_ALL=C.UTF-8
status=0
timeout -k 5 "$seconds" "$@" || status=$?
exit "$status"
