#!/bin/sh
# Remakes the README's pictures in data/screenshots/: the editor at 1280x800, light and dark, both example
# graphs running on the demo picture, and an actor on its way to the OpenCL lane.
# Needs Xvfb, xdotool and ImageMagick (import), beside what ./run needs.
set -eu

cd "$(dirname "$0")/.."
for tool in Xvfb xdotool import; do
  command -v "$tool" >/dev/null || {
    echo "$tool is missing: sudo apt-get install xvfb xdotool imagemagick" >&2
    exit 1
  }
done
tools/setup.sh build
tools/build.sh build

work=$(mktemp -d)
out=$PWD/data/screenshots
mkdir -p "$out"

# A display of our own; Xvfb picks a free number and writes it.
mkfifo "$work/display"
Xvfb -displayfd 3 -screen 0 1280x800x24 -nolisten tcp 3>"$work/display" 2>/dev/null &
server=$!
read -r number <"$work/display"
editor=
cleanup() {
  [ -z "$editor" ] || kill "$editor" 2>/dev/null || true
  kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT INT TERM

# As on a GNOME desktop, whatever the settings of whoever runs this.
mkdir -p "$work/config/gtk-4.0"
cat >"$work/config/gtk-4.0/settings.ini" <<EOF
[Settings]
gtk-font-name=Cantarell 11
gtk-icon-theme-name=Adwaita
gtk-xft-antialias=1
gtk-xft-hinting=1
gtk-xft-hintstyle=hintslight
EOF
unset WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS
export DISPLAY=":$number" XDG_CONFIG_HOME="$work/config" GSETTINGS_BACKEND=memory
export GDK_BACKEND=x11 GSK_RENDERER=cairo GDK_DEBUG=gl-disable LCIP_DATA_PATH="$PWD"

# start_editor SCHEME GRAPH: waits until the window is there and fills the screen.
start_editor() {
  ADW_DEBUG_COLOR_SCHEME=$1 build/app/lcip-editor --run --source demo "$PWD/graphs/$2.xml" \
    2>"$work/editor.log" &
  editor=$!
  window=$(timeout 60 xdotool search --sync --onlyvisible --pid "$editor" | tail -n 1)
  xdotool windowmove "$window" 0 0 windowsize "$window" 1280 800 mousemove 1279 799
  sleep "${SCREENSHOT_SETTLE:-8}"
}

stop_editor() {
  kill "$editor" 2>/dev/null || true
  wait "$editor" 2>/dev/null || true
  editor=
}

shoot() {
  import -window root "$out/$1.png"
  echo "data/screenshots/$1.png"
}

# drag_actor X Y TO_Y: holds an actor above another lane.
drag_actor() {
  xdotool mousemove "$1" "$2" mousedown 1
  for step in 1 2 3 4 5 6 7 8; do
    xdotool mousemove "$(($1 + step * 3))" "$(($2 + ($3 - $2) * step / 8))"
    sleep 0.1
  done
  sleep 1
}

for scheme in light dark; do
  start_editor "prefer-$scheme" blazeface-back
  shoot "blazeface-$scheme"
  # A little further into the network, by the overview.
  xdotool mousemove 130 726 click 1
  sleep 1
  drag_actor "${DRAG_X:-690}" "${DRAG_Y:-440}" "${DRAG_TO_Y:-650}"
  shoot "drag-$scheme"
  xdotool key Escape mouseup 1
  stop_editor
  start_editor "prefer-$scheme" selfie-segmentation
  shoot "selfie-$scheme"
  stop_editor
done
