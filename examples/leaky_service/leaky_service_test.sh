#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The gochan authors.
#
# usage: leaky_service_test.sh PROGRAM
#
# Starts the service, leaks goroutines by requests, and looks at what its pages tell of them.
set -uo pipefail

if [[ $# -ne 1 || ! -x $1 ]]; then
  echo "usage: $0 PROGRAM" >&2
  exit 2
fi
if ! command -v curl >/dev/null 2>&1; then
  echo "skip  curl is not installed"
  exit 0
fi
program="$(realpath "$1")"
dir="$(mktemp -d)" || exit 1
failures=0
service=0
# It leaks on purpose.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"

stop() {
  if [[ $service != 0 ]]; then
    kill -TERM "$service" 2>/dev/null
    wait "$service"
    status=$?
    service=0
    check "it ends when it is told to" [ "$status" = 0 ]
  fi
}
cleanup() {
  if [[ $service != 0 ]]; then kill -KILL "$service" 2>/dev/null; fi
  rm -rf "$dir"
}
trap cleanup EXIT

check() {
  local what="$1"
  shift
  if "$@"; then
    echo "ok    $what"
  else
    echo "FAIL  $what"
    failures=$((failures + 1))
  fi
}

# start FLAG...: runs the service; sets `url`.
start() {
  # Now, not when the service begins: what an earlier one said is not for us.
  : >"$dir/out"
  "$program" --port=0 "$@" >"$dir/out" 2>"$dir/err" &
  service=$!
  url=""
  for ((i = 0; i < 600; i++)); do
    url="$(sed -n 's|^\(http://[^ ]*\)/ .*|\1|p' "$dir/out")"
    [[ -n $url ]] && return 0
    kill -0 "$service" 2>/dev/null || break
    sleep 0.05
  done
  echo "FAIL  the service does not start"
  cat "$dir/err"
  exit 1
}

get() { curl --silent --show-error --fail --noproxy '*' --max-time 60 "$url$1"; }
get_into() { get "$2" >"$1"; }

# metric NAME: its value.
metric() { get /metrics | awk -v name="$1" '$1 == name { print $2 }'; }

# blocked REASON: how many are.
blocked() { get /metrics | sed -n "s/^gochan_goroutines_blocked{reason=\"$1\"} //p"; }

# until_leaked N: until the watchdog has found that many.
until_leaked() {
  for ((i = 0; i < 400; i++)); do
    [[ $(metric gochan_leaked_goroutines) == "$1" ]] && return 0
    sleep 0.05
  done
  return 1
}

# leaks: how many there are, by the page for people.
leaks() {
  local page
  page="$(get /debug/)"
  grep -o 'Leaked</span><b class="num">[^<]*' <<<"$page" | sed 's/.*>//; s/none/0/; s/,//'
}

# until_leaks N: waits until that many are found.
until_leaks() {
  local found=""
  for ((i = 0; i < 400; i++)); do
    found="$(leaks)"
    [[ $found == "$1" ]] && return 0
    sleep 0.05
  done
  echo "      $found leaks where $1 were expected"
  return 1
}

has() { grep -qF -- "$2" <<<"$1"; }

# ---- Broken ------------------------------------------------------------------------------

start --leak=all
check "nothing leaks at first" until_leaks 0
check "an honest goroutine is listed" has "$(get '/debug/pprof/goroutine?debug=2')" '"mailer"'
for name in orders session upload report search quote; do
  check "/$name answers" get_into /dev/null "/$name"
done
check "each request leaks: 3 + 1 + 1 + 1 + 2 + 1" until_leaks 9
get '/search?n=50' >/dev/null
check "and again" until_leaks 109

page="$(get /debug/)"
check "the page names the places" has "$page" "patterns.cc:"
check "the page has graphs" has "$page" "<svg "
check "the page counts what leaks at one place" has "$page" "<b>102</b>"
text="$(get '/debug/pprof/goroutineleak?debug=1')"
check "the report names the places" has "$text" "patterns.cc:"
for name in "order worker" session upload "report query" "search replica" "quote backend"; do
  check "a leaked '$name' is in the list" has "$(get '/debug/pprof/goroutine?debug=2')" "\"$name\""
done

check "/metrics counts goroutines" [ "$(metric gochan_goroutines)" -ge 109 ]
check "/metrics counts senders" [ "$(blocked 'chan send')" = 105 ]
check "/metrics counts leaks" until_leaked 109
if command -v promtool >/dev/null 2>&1; then
  get /metrics >"$dir/metrics"
  check "promtool likes /metrics" promtool check metrics <"$dir/metrics"
fi
check "no such page" [ "$(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' "$url/debug/x")" = 404 ]

# ---- pprof -------------------------------------------------------------------------------

for profile in goroutine goroutineleak block; do
  check "/debug/pprof/$profile can be had" \
    get_into "$dir/$profile.pb.gz" "/debug/pprof/$profile"
  check "$profile is a gzip file" gzip --test "$dir/$profile.pb.gz"
done
if command -v go >/dev/null 2>&1; then
  # Nothing is downloaded. Newer versions of Go build pprof when it is first used.
  pprof() {
    (cd "$dir" && env HOME="$dir" GOPATH="$dir/path" \
      PPROF_TMPDIR="$dir" GOTOOLCHAIN=local GOPROXY=off GOFLAGS= GOENV=off go tool pprof "$@")
  }
  export GOCACHE="${GOCACHE:-$PWD/pprof_test.tmp/cache}"
  if pprof -h 2>&1 | grep -q -- -top; then
    top="$(pprof -top -lines goroutineleak.pb.gz 2>&1)"
    check "go tool pprof shows the leaks" has "$top" "patterns.cc:"
    check "go tool pprof knows what they are" has "$top" "Type: goroutineleak"
    top="$(pprof -top goroutine.pb.gz 2>&1)"
    check "go tool pprof shows the goroutines" has "$top" "Type: goroutine"
    top="$(pprof -top block.pb.gz 2>&1)"
    check "go tool pprof shows where they block" has "$top" "Type: delay"
  else
    echo "skip  this Go has no pprof"
  fi
else
  echo "skip  Go is not installed, so pprof is not tried"
fi
stop
check "the watchdog has told of the leaks" has "$(cat "$dir/err")" "new leaked goroutine"

# ---- Mended ------------------------------------------------------------------------------

start
for name in orders session upload report search quote; do
  check "/$name answers, mended" get_into /dev/null "/$name?n=20"
done
check "nothing leaks" until_leaks 0
stop

exit "$((failures > 0))"
