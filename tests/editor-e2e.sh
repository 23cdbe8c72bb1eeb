#!/bin/sh
# editor-e2e.sh EDITOR: the editor from outside, with a real pointer and keyboard: opens a graph, moves
# an actor to another lane by drag and back by keyboard, saves each time, and looks into the file.
# Runs under with-display.sh. TAP.
set -u
editor=$1
for tool in xdotool dbus-run-session; do
  if ! command -v "$tool" >/dev/null; then
    echo "1..0 # SKIP $tool is not installed"
    exit 0
  fi
done
echo "1..5"
folder=$(mktemp -d)
graph=$folder/tiny.xml
number=0
XDG_RUNTIME_DIR=$folder
export XDG_RUNTIME_DIR

cat >"$graph" <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<lcip xmlns="urn:lcip:graph:1" version="1">
  <graph name="Tiny" opset="21" source-opset="21">
    <description>For tests</description>
    <actor id="source" name="" domain="lcip" operator="PictureSource" inputs="0" outputs="1"/>
    <actor id="to_tensor" name="" domain="lcip" operator="PictureToTensor" inputs="1" outputs="2">
      <attribute name="height" type="int">64</attribute>
      <attribute name="width" type="int">64</attribute>
    </actor>
    <actor id="relu" name="" domain="" operator="Relu" inputs="1" outputs="1"/>
    <edge from="source" from-port="picture" to="to_tensor" to-port="picture"/>
    <edge from="to_tensor" from-port="tensor" to="relu" to-port="X"/>
  </graph>
  <platform>
    <lane name="First" kind="cpu"/>
    <lane name="Second" kind="cpu"/>
  </platform>
  <mapping name="default" active="true">
  </mapping>
  <layout>
  </layout>
</lcip>
XML

finish() {
  [ -z "${pid:-}" ] || kill "$pid" 2>/dev/null
  rm -rf "$folder"
}
trap finish EXIT

result() { # result STATUS WHAT
  number=$((number + 1))
  if [ "$1" -eq 0 ]; then
    echo "ok $number $2"
  else
    echo "not ok $number $2"
    grep -v dbus-daemon "$folder/log" "$graph" | sed "s/^/# /"
  fi
}

# until_true SECONDS COMMAND...: waits until COMMAND succeeds.
until_true() {
  tries=$(($1 * 5))
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 0.2
  done
}

on_second() { # on_second ACTOR
  grep -q "<assign actor=\"$1\" lane=\"Second\"/>" "$graph"
}

not_on_second() {
  ! on_second "$1"
}

save() {
  xdotool key --clearmodifiers ctrl+s
}

saved_on_second() {
  save
  sleep 0.4
  on_second "$1"
}

saved_on_first() {
  save
  sleep 0.4
  not_on_second "$1"
}

# drag X0 Y0 X1 Y1: with the stops that a hand makes
drag() {
  xdotool mousemove "$1" "$2" sleep 0.1 mousedown 1 sleep 0.1
  for step in 1 2 3 4 5 6 7 8; do
    xdotool mousemove $(($1 + ($3 - $1) * step / 8)) $(($2 + ($4 - $2) * step / 8)) sleep 0.04
  done
  xdotool sleep 0.2 mouseup 1
}

timeout 200 dbus-run-session -- "$editor" "$graph" >"$folder/log" 2>&1 &
pid=$!

until_true 60 xdotool search --onlyvisible --name tiny.xml
result $? "opens the graph in a window"
window=$(xdotool search --onlyvisible --name tiny.xml | head -n 1)
xdotool windowfocus "$window" sleep 1

# Without a window manager the window fills the display's 1280x800. The net is one line of actors in
# the first lane, which takes what the empty second leaves: PictureToTensor is the second from the left.
actor_x=505
actor_y=340
lane_y=650
drag $actor_x $actor_y $((actor_x + 60)) $lane_y
until_true 20 saved_on_second to_tensor
result $? "a drag moves an actor to another lane"

xdotool key --clearmodifiers ctrl+z
until_true 20 saved_on_first to_tensor
result $? "undo moves it back"

# The focus is on the dragged actor: Right follows its edge to the next one.
xdotool mousemove $actor_x $actor_y sleep 0.1 click 1 sleep 0.2 key Right sleep 0.2 key alt+Down
until_true 20 saved_on_second relu
result $? "the keyboard moves the actor that an edge leads to"

xdotool key alt+Up
until_true 20 saved_on_first relu
result $? "and back"
