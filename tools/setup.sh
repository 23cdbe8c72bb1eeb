#!/bin/sh
# Sees to it that what LCIP is built from is installed.
#   tools/setup.sh build|test|ci|fuzz
# Looks first, and touches neither the package manager nor the network when nothing is missing. As root
# it installs with apt-get; as anybody else it prints the line and asks before using sudo.
set -eu

role=${1:-build}

# For the tests on an emulated ARM processor; left out where they can't be had.
aarch64_packages="gcc-aarch64-linux-gnu qemu-user-static libc6-dev:arm64 libglib2.0-dev:arm64
  libxml2-dev:arm64 libjson-glib-dev:arm64 libopenblas-dev:arm64 ocl-icd-opencl-dev:arm64
  libpng-dev:arm64 libjpeg-dev:arm64"

build_packages="gcc libc6-dev meson ninja-build pkg-config libglib2.0-dev libglib2.0-dev-bin
  libxml2-dev libxml2-utils libjson-glib-dev libopenblas-dev ocl-icd-opencl-dev libpng-dev libjpeg-dev
  libzmq3-dev libavahi-client-dev libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-libav libgtk-4-dev libadwaita-1-dev fonts-cantarell
  adwaita-icon-theme librsvg2-common"
test_packages="xvfb xauth xdotool dbus-daemon libonnx-testdata libdnnl-dev iproute2
  libopenmpi-dev openmpi-bin"
# avahi-daemon is started where it is installed: not for everybody who runs the tests.
ci_packages="clang clang-format-14 shellcheck avahi-daemon"
fuzz_packages="clang libclang-rt-14-dev python3 libonnx-testdata"

case $role in
build) packages=$build_packages ;;
test) packages="$build_packages $test_packages" ;;
ci) packages="$build_packages $test_packages $ci_packages" ;;
fuzz) packages="$build_packages $fuzz_packages" ;;
*)
  echo "usage: tools/setup.sh build|test|ci|fuzz" >&2
  exit 2
  ;;
esac

has_opencl_driver() {
  for icd in "${OCL_ICD_VENDORS:-/etc/OpenCL/vendors}"/*.icd; do
    [ -e "$icd" ] && return 0
  done
  return 1
}

# Packages of a list that dpkg does not have installed, on one line.
not_installed() {
  for package in $1; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=
    # Several architectures of one package are told one after the other.
    case $status in
    *installed*) [ "${status#not-}" = "$status" ] || printf '%s ' "$package" ;;
    *) printf '%s ' "$package" ;;
    esac
  done
}

missing_packages() {
  not_installed "$packages"
  has_opencl_driver || printf 'pocl-opencl-icd '
}

# Debian has all architectures on one server; Ubuntu does not.
setup_aarch64() {
  [ "$(dpkg --print-architecture)" = amd64 ] && grep -qx 'ID=debian' /etc/os-release || return 0
  missing=$(not_installed "$aarch64_packages")
  [ -n "$missing" ] || return 0
  if ! dpkg --print-foreign-architectures | grep -qx arm64; then
    "$@" dpkg --add-architecture arm64
  fi
  "$@" apt-get update || true
  # shellcheck disable=SC2086 # a list of words
  "$@" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing ||
    echo "The tests for 64-bit ARM are left out: these packages could not be installed: $missing" >&2
}

# Where there is no dpkg: what can be seen without knowing the packages' names.
missing_tools() {
  for tool in cc meson ninja pkg-config glib-compile-resources; do
    command -v "$tool" >/dev/null || printf '%s ' "$tool"
  done
  command -v pkg-config >/dev/null || return 0
  for module in glib-2.0 gio-unix-2.0 libxml-2.0 json-glib-1.0 openblas OpenCL libpng libjpeg libzmq \
    avahi-client gstreamer-app-1.0 gstreamer-video-1.0 gtk4 libadwaita-1; do
    pkg-config --exists "$module" || printf '%s ' "$module"
  done
}

setup_elsewhere() {
  missing=$(missing_tools)
  [ -n "$missing" ] || return 0
  cat >&2 <<EOF
This is neither Debian nor Ubuntu, so the packages are yours to install. Missing: $missing
Fedora:
  sudo dnf install gcc meson ninja-build pkgconf-pkg-config glib2-devel libxml2-devel \\
    json-glib-devel openblas-devel ocl-icd-devel opencl-headers pocl libpng-devel \\
    libjpeg-turbo-devel zeromq-devel avahi-devel gstreamer1-devel gstreamer1-plugins-base-devel \\
    gstreamer1-plugins-good \\
    gstreamer1-plugin-libav gtk4-devel libadwaita-devel xorg-x11-server-Xvfb xdotool iproute-tc \\
    openmpi-devel
Arch:
  sudo pacman -S base-devel meson ninja glib2-devel libxml2 json-glib openblas ocl-icd \\
    opencl-headers pocl libpng libjpeg-turbo zeromq avahi gst-plugins-base gst-plugins-good gst-libav gtk4 \\
    libadwaita xorg-server-xvfb xdotool iproute2 openmpi
EOF
  exit 1
}

# $@: what to put before apt-get.
install_packages() {
  "$@" apt-get update || echo "apt-get update failed; trying with the lists that are there" >&2
  # shellcheck disable=SC2086 # a list of words
  "$@" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing && return 0
  echo "These packages are missing and could not be installed (no network?): $missing" >&2
  exit 1
}

confirm() {
  printf 'Install them now with sudo? [Y/n] ' >&2
  read -r answer || return 1
  case $answer in
  "" | y | Y | yes) return 0 ;;
  *) return 1 ;;
  esac
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  setup_elsewhere
  exit 0
fi

missing=$(missing_packages)
missing=${missing% }
if [ "$(id -u)" = 0 ]; then
  [ -z "$missing" ] || install_packages env
  [ "$role" != ci ] || setup_aarch64 env
  exit 0
fi
[ -n "$missing" ] || exit 0

echo "LCIP needs packages that are not installed. To install them:" >&2
echo "  sudo apt-get install --no-install-recommends $missing" >&2
if ! command -v sudo >/dev/null; then
  echo "There is no sudo here: run that line as root, then start again." >&2
  exit 1
fi
if [ -t 0 ] && [ -t 2 ]; then
  confirm || exit 1
elif ! sudo -n true 2>/dev/null; then
  echo "sudo would ask for a password, and there is no terminal to ask on." >&2
  exit 1
fi
install_packages sudo
