#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The gochan authors.
#
# What must not compile, and with which message.
#
#   CXX=g++ CXXFLAGS="-std=c++20 -I." test/compile/compile_fail_test.sh
#
# Each snippet beside this script compiles as it is, and does not with
# -DGOCHAN_WRONG=1, =2, ...: a line "// GOCHAN_WRONG=n: text" gives a text that the
# compiler's output must contain then. Only -fsyntax-only is used. Snippets may be
# named as arguments. CXXFLAGS holds the include paths; the default is the root of
# the tree.

set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
compiler=${CXX:-c++}
read -r -a flags <<< "${CXXFLAGS:--std=c++20}"
flags+=("-I$root" -fsyntax-only)

if [[ $# -gt 0 ]]; then
  snippets=("$@")
else
  snippets=("$here"/*.cc)
fi

failures=0
checks=0

fail() {
  failures=$((failures + 1))
  echo "FAIL: $1"
}

for snippet in "${snippets[@]}"; do
  name=$(basename "$snippet")
  checks=$((checks + 1))
  if ! output=$("$compiler" "${flags[@]}" "$snippet" 2>&1); then
    fail "$name does not compile without GOCHAN_WRONG"
    head -n 20 <<< "$output"
    continue
  fi
  while IFS= read -r line; do
    number=${line#*GOCHAN_WRONG=}
    text=${number#*: }
    number=${number%%:*}
    checks=$((checks + 1))
    if output=$("$compiler" "${flags[@]}" "-DGOCHAN_WRONG=$number" "$snippet" 2>&1); then
      fail "$name compiles with GOCHAN_WRONG=$number"
    elif ! grep -qF -- "$text" <<< "$output"; then
      fail "$name with GOCHAN_WRONG=$number does not say: $text"
      head -n 20 <<< "$output"
    fi
  done < <(grep -E '^// GOCHAN_WRONG=[0-9]+: ' "$snippet")
done

echo "$checks checks, $failures failures"
[[ $failures -eq 0 && $checks -gt 0 ]]
