#!/bin/sh
# tools/count-tests.sh REPORT...: sums meson's JUnit reports into "N passed, N failed, N skipped". A
# report that is not there counts as one failure, and so does a program that ended before its last test:
# only the log beside the report says that.
set -eu

for report; do
  if [ -f "$report" ]; then
    grep -o '<testsuite [^>]*>' "$report" || true
    log=${report%.junit.xml}.json
    if [ -f "$log" ]; then
      sed -n '/"result": "\(ERROR\|TIMEOUT\|INTERRUPT\)"/s/.*/<testsuite tests="1" errors="1">/p' "$log"
    fi
  else
    echo '<testsuite tests="1" errors="1" failures="0" skipped="0">'
  fi
done | awk '
  function value(name) {
    if (!match($0, " " name "=\"[0-9]+\"")) return 0
    return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4) + 0
  }
  {
    tests += value("tests"); skipped += value("skipped")
    failed += value("errors") + value("failures")
  }
  END {
    printf "%d passed, %d failed, %d skipped\n", tests - failed - skipped, failed, skipped
    exit failed > 0
  }'
