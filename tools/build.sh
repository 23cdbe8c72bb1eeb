#!/bin/sh
# tools/build.sh FOLDER [meson option]...: configures FOLDER once and builds into it. Says little when
# all is well; a build that fails shows all it said.
set -eu

folder=$1
shift
mkdir -p "$folder"
log=$folder/build.log

quietly() {
  if [ -t 1 ]; then
    "$@"
  elif ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
}

if [ ! -f "$folder/build.ninja" ]; then
  echo "Configuring $folder"
  quietly meson setup "$folder" "$@"
fi
# Nothing to do is not worth a line.
if ninja -C "$folder" -n 2>/dev/null | grep -q 'no work to do'; then
  exit 0
fi
echo "Building into $folder"
quietly ninja -C "$folder"
