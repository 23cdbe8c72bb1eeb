#!/bin/sh
# tools/run-tests.sh FOLDER...: runs the tests of built folders, on a display of their own, and ends in
# the line "N passed, N failed, N skipped" over all of them. LCIP_TESTS: the names of some tests; all where
# there are none.
set -eu

tools=$(dirname "$0")
root=$(cd "$tools/.." && pwd)

# Software rendering: the same on every machine, and quicker than GL without a graphics card.
export GDK_BACKEND=x11 GSK_RENDERER=cairo GDK_DEBUG=gl-disable
export LIBGL_ALWAYS_SOFTWARE=1 NO_AT_BRIDGE=1
# PoCL's LLVM sets a signal stack of its own on the thread that asks for devices first; the sanitizer would
# unmap that when the thread ends.
export ASAN_OPTIONS="detect_leaks=1:strict_string_checks=1:use_sigaltstack=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export LSAN_OPTIONS="suppressions=$root/tests/lsan.supp:print_suppressions=0"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"

status=0
for folder; do
  set -- meson test -C "$folder" --no-rebuild --print-errorlogs
  if command -v xvfb-run >/dev/null; then
    set -- xvfb-run -a -s "-screen 0 1600x1000x24" "$@"
  fi
  rm -f "$folder/meson-logs/testlog.junit.xml"
  # shellcheck disable=SC2086 # a list of words
  "$@" ${LCIP_TESTS:-} </dev/null || status=1
  reports="${reports:-} $folder/meson-logs/testlog.junit.xml"
done

# shellcheck disable=SC2086 # a list of words
"$tools/count-tests.sh" $reports || status=1
exit $status
