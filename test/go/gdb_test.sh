#!/usr/bin/env bash
# go/gdb.py on a program that has stopped, and on its core.
#
# gdb_test.sh GDB_PY PROGRAM
set -euo pipefail

readonly GDB_PY="$1" PROGRAM="$2"
readonly SKIP=77

skip() { echo "skipped: $*"; exit "$SKIP"; }
fail() {
  printf 'FAILED: %s\n' "$*"
  cat "$DIR"/*.txt
  exit 1
}

[[ -z ${GOCHAN_TEST_EMULATOR:-} ]] || skip "not under an emulator"
command -v gdb >/dev/null || skip "there is no gdb"
gdb -nx -batch -ex 'python import gdb.unwinder' >/dev/null 2>&1 || skip "gdb has no Python"

"$PROGRAM" fit || skip "not with sanitizers, nor where stacks cannot be unwound"

DIR="$(mktemp -d)"
readonly DIR
trap 'rm -rf "$DIR"' EXIT

export GOCHAN_MAXPROCS=2
export DEBUGINFOD_URLS=

# run_gdb NAME ARGUMENT...: into NAME.txt.
run_gdb() {
  local out="$DIR/$1.txt"
  shift
  timeout 300 gdb -nx -batch -iex 'set debuginfod enabled off' "$@" >"$out" 2>&1 </dev/null ||
    fail "gdb"
}

# The number of the goroutine in the line of `info goroutines` with that text.
id_of() { sed -n "s/^ *\([0-9]*\)  .*$2.*/\1/p" "$DIR/$1.txt" | head -n 1; }
# expect NAME TEXT: that text (a regular expression) is there.
expect() { grep -Eq -- "$2" "$DIR/$1.txt" || fail "no '$2' in $1"; }
reject() { ! grep -Eq -- "$2" "$DIR/$1.txt" || fail "'$2' in $1"; }

look() {
  local name="$1"
  shift
  expect "$name" '^ +1  \[running\] +created by .*gdb_program\.cc:[0-9]+ in main\(\)'
  expect "$name" '^ +[0-9]+  \[chan receive\] +"deep one"  .*gdb_program\.cc:[0-9]+ in .*Inner\(\)'
  expect "$name" '^ +[0-9]+  \[sleep\] +.*gdb_program\.cc:[0-9]+ in main\(\)::<lambda>'
  expect "$name" '^ +[0-9]+  \[sync\.Mutex\.Lock\]'
  [[ $(grep -Ec '^ +[0-9]+  \[' "$DIR/$name.txt") == 4 ]] || fail "not four goroutines in $name"

  local deep
  deep="$(id_of "$name" '"deep one"')"
  run_gdb "$name-bt" "$@" -ex "source $GDB_PY" -ex 'echo +++\n' \
    -ex "goroutine $deep bt" -ex 'echo ---\n' \
    -ex "goroutine $deep info registers" -ex 'echo ---\n' -ex "goroutine 1 bt" -ex 'echo ---\n' -ex 'bt'
  # In this order, and the thread's own frames are not among them.
  local calls
  calls="$(sed -n '/^+++/,/^---/p' "$DIR/$name-bt.txt" | sed '/^---/q' |
    grep -oE '\b(Inner|Middle|Outer|gochan_context_entry|abort|raise)\b' | tr '\n' ' ')"
  [[ $calls == "Inner Middle Outer gochan_context_entry " ]] || fail "the calls are: $calls"
  # It runs: the thread's frames.
  sed -n '/^---/,$p' "$DIR/$name-bt.txt" >"$DIR/$name-running.txt"
  expect "$name-running" '\babort\b'

  run_gdb "$name-all" "$@" -ex "source $GDB_PY" -ex 'goroutine all bt' -ex 'goroutine 999999 bt' \
    -ex 'info goroutines sleep'
  expect "$name-all" 'No goroutine 999999'
  [[ $(grep -c '^#.*gochan_context_entry' "$DIR/$name-all.txt") == 4 ]] ||
    fail "not four whole stacks in $name-all"
  [[ $(grep -Ec '^ +[0-9]+  \[' "$DIR/$name-all.txt") == 1 ]] || fail "more than one that sleeps"
}

# gdb leaves out of a core what lies around the guards of newer kernels (the kernel does not).
GOCHAN_STACK_GUARD=mprotect run_gdb live -ex run -ex "source $GDB_PY" -ex 'info goroutines' \
  -ex "generate-core-file $DIR/core" "$PROGRAM"
if grep -Eq 'ptrace: Operation not permitted|Could not trace|Couldn.t get registers' "$DIR/live.txt"; then
  skip "no process may be traced here"
fi
expect live 'SIGABRT'
look live -ex run "$PROGRAM"

[[ -s $DIR/core ]] || fail "no core"
run_gdb core "$PROGRAM" "$DIR/core" -ex "source $GDB_PY" -ex 'info goroutines'
look core "$PROGRAM" "$DIR/core"
reject core 'warning: .*not match'
echo PASSED
