#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The gochan authors.
#
# usage: compare.sh PROGRAM FOLDER [--not-under-tsan]
#
# The program prints what FOLDER/expected.txt says, and so does its original in Go,
# FOLDER/main.go, where Go is installed. GOCACHE: where Go keeps what it has compiled; else its
# library is compiled anew each time.
set -uo pipefail

if [[ $# -lt 2 || ! -x $1 || ! -f $2/expected.txt ]]; then
  echo "usage: $0 PROGRAM FOLDER [--not-under-tsan]" >&2
  exit 2
fi
program="$(realpath "$1")"
folder="$(realpath "$2")"
option="${3:-}"

dir="$(mktemp -d)" || exit 1
trap 'rm -rf "$dir"' EXIT
failures=0

# LeakSanitizer would read a hundred thousand stacks at the end, which takes minutes.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"

if [[ $option == --not-under-tsan ]] && grep -qa __tsan_init "$program"; then
  echo "skip  $program: ThreadSanitizer cannot hold as many goroutines"
elif timeout 300 "$program" >"$dir/ours" && diff "$folder/expected.txt" "$dir/ours"; then
  echo "ok    $program prints what is expected"
else
  echo "FAIL  $program"
  failures=1
fi

# Nothing is downloaded, and nothing written outside of our folder, or of the one for what Go has
# compiled.
if ! command -v go >/dev/null 2>&1; then
  echo "skip  Go is not installed, so its output is not compared"
elif cp "$folder/main.go" "$dir" && cd "$dir" &&
  env HOME="$dir" GOCACHE="${GOCACHE:-$dir/cache}" GOPATH="$dir/path" GOFLAGS= GO111MODULE=auto \
    GOTOOLCHAIN=local GOPROXY=off go run main.go >"$dir/theirs" &&
  diff "$folder/expected.txt" "$dir/theirs"; then
  echo "ok    Go prints the same"
else
  echo "FAIL  Go and $folder/main.go"
  failures=1
fi
exit "$failures"
