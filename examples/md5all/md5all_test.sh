#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The gochan authors.
#
# usage: md5all_test.sh MD5ALL
#
# Runs the program on a tree of odd files and compares with find, sort, md5sum.
set -uo pipefail
export LC_ALL=C

if [[ $# -ne 1 || ! -x $1 ]]; then
  echo "usage: $0 MD5ALL" >&2
  exit 2
fi

# Below /tmp, and with a copy of the program, so that another user can read it.
dir="$(mktemp -d /tmp/md5all_test.XXXXXX)" || exit 1
background=""
cleanup() {
  [[ -n $background ]] && kill -KILL "$background" 2>/dev/null
  chmod -R u+rwx "$dir" 2>/dev/null
  rm -rf "$dir"
}
trap cleanup EXIT
chmod 755 "$dir"
md5all="$dir/md5all"
cp "$1" "$md5all" && chmod 755 "$md5all" || exit 1

failures=0
ok() { printf 'ok    %s\n' "$1"; }
fail() {
  printf 'FAIL  %s\n' "$1"
  failures=$((failures + 1))
}
check() {  # check NAME COMMAND...
  local name="$1"
  shift
  if "$@"; then ok "$name"; else fail "$name"; fi
}

# run ARG...: sets `status`; output goes to $dir/out and $dir/err.
run() {
  "$md5all" "$@" >"$dir/out" 2>"$dir/err"
  status=$?
}
reference() { find "$1" -type f -print0 | sort -z | xargs -0r md5sum --; }
agrees() {  # agrees ROOT [OPTION...]: same lines as md5sum, status 0, nobody left
  local root="$1"
  shift
  reference "$root" >"$dir/expected" 2>/dev/null
  run "$@" "$root"
  cmp "$dir/out" "$dir/expected" && [[ $status -eq 0 ]] &&
    grep -q ', 0 failed, 0 goroutines left$' "$dir/err"
}
err_says() { grep -qF -- "$1" "$dir/err"; }

# --- A tree -----------------------------------------------------------------

tree="$dir/tree"
mkdir -p "$tree/empty dir" "$tree/deep"
cd "$dir" || exit 1
for size in 0 1 54 55 56 57 63 64 65 118 119 120 121 127 128 129 4095 4096 4097 \
  262143 262144 262145 3145729; do
  head -c "$size" /dev/urandom >"$tree/size$size"
done
# shellcheck disable=SC1003,SC2016
names=('a b' ' leading' 'trailing ' $'tab\there' $'new\nline' $'\n' 'back\slash' '\'
  $'both\\\n' $'return\rhere' '-dash' '--help' '*' '?' '[x]' "'" '"' '$HOME' '`id`' ';' '&'
  '#' '~' '...' '..x' 'ä' $'\xff\xfe' '\n' '%s' "$(printf 'n%.0s' {1..255})")
for name in "${names[@]}"; do
  printf '%s' "$name" >"$tree/$name"
done
path="$tree/deep"
for i in {1..40}; do
  path="$path/level$i"
  mkdir "$path"
  echo "$i" >"$path/file"
done
# Neighbours whose order by whole path and by component differ.
mkdir "$tree/order" "$tree/order/a"
touch "$tree/order/a/x" "$tree/order/a-b" "$tree/order/a.c" "$tree/order/ab"
: >"$tree/empty"
ln -s size65 "$tree/link to file"
ln -s deep "$tree/link to directory"
ln -s nowhere "$tree/dangling link"
ln -s . "$tree/loop"
ln "$tree/size64" "$tree/hard link"
mkfifo "$tree/pipe"

check "agrees with md5sum" agrees "$tree"
check "with one digester" agrees "$tree" -j 1
check "with many digesters" agrees "$tree" -j64
check "root with a slash at its end" agrees "$tree/"
check "relative root" agrees tree
cd "$tree" && check "root is ." agrees . && cd "$dir" || exit 1
check "a single file" agrees "$tree/size4097"
check "a single file with an odd name" agrees "$tree/"$'both\\\n'
check "an empty directory" agrees "$tree/empty dir"

files="$(find "$tree" -type f -printf . | wc -c)"
bytes="$(find "$tree" -type f -printf '%s\n' | awk '{ n += $1 } END { print n }')"
run "$tree"
check "summary counts files and bytes" err_says "md5all: $files files, $bytes bytes, "
no_progress() { ! grep -q $'\r' "$dir/err"; }
check "no progress line without a terminal" no_progress

# --- What cannot be read ----------------------------------------------------

run "$dir/no such place"
check "missing root: status 1" test "$status" -eq 1
check "missing root: named on stderr" err_says "$dir/no such place"
check "missing root: no output" test ! -s "$dir/out"
check "missing root: nobody left" err_says ", 0 goroutines left"

run "$tree/pipe"
check "root is a pipe: status 1" test "$status" -eq 1
run "$tree/dangling link"
check "root is a symbolic link: status 1" test "$status" -eq 1

# Opens, and cannot be read at offset 0 by anybody.
if [[ -f /proc/self/mem ]]; then
  run /proc/self/mem
  check "read error: status 1" test "$status" -eq 1
  check "read error: named on stderr" err_says "md5all: /proc/self/mem: "
  check "read error: counted" err_says ", 1 failed, 0 goroutines left"
fi

# Root reads everything, so become somebody else.
locked="$dir/locked"
mkdir -p "$locked/closed" "$locked/open"
for i in {1..50}; do echo "$i" >"$locked/open/$i"; done
echo secret >"$locked/open/secret"
echo inside >"$locked/closed/inside"
chmod 000 "$locked/open/secret" "$locked/closed"
as_user=()
[[ $(id -u) -eq 0 ]] && as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
if "${as_user[@]}" true 2>/dev/null; then
  "${as_user[@]}" "$md5all" "$locked" >"$dir/out" 2>"$dir/err"
  status=$?
  "${as_user[@]}" find "$locked" -type f -readable -print0 2>/dev/null | sort -z |
    xargs -0r md5sum >"$dir/expected"
  check "unreadable file: the rest is done" cmp "$dir/out" "$dir/expected"
  check "unreadable file: status 1" test "$status" -eq 1
  check "unreadable file: reported" err_says "md5all: $locked/open/secret: Permission denied"
  check "unreadable directory: reported" err_says "md5all: $locked/closed: Permission denied"
  check "both counted, nobody left" err_says ", 2 failed, 0 goroutines left"
else
  echo "skip  unreadable files: cannot become another user here"
fi

if [[ -c /dev/full ]]; then
  "$md5all" "$tree" >/dev/full 2>"$dir/err"
  check "full disk: status 1" test $? -eq 1
fi

# --- Ctrl-C -----------------------------------------------------------------

# A sparse file that would keep a digester busy for minutes, and some beside it.
huge="$dir/huge"
mkdir "$huge"
if grep -qa __tsan_init "$md5all"; then
  # It holds a signal back until the thread that it hit leaves its system call.
  echo "skip  Ctrl-C: not under ThreadSanitizer"
elif truncate -s 200G "$huge/0" 2>/dev/null; then
  for i in {1..200}; do echo "$i" >"$huge/$i"; done
  mkfifo "$dir/never"
  for jobs in 1 4; do
    "$md5all" -j "$jobs" "$huge" >"$dir/out" 2>"$dir/err" &
    background=$!
    # In the middle: it has read more than the small files hold.
    while kill -0 "$background" 2>/dev/null &&
      [[ $(sed -n 's/^rchar: //p' "/proc/$background/io" 2>/dev/null || echo 0) -lt 20000000 ]]; do
      sleep 0.01
    done
    before="$(date +%s%N)"
    kill -INT "$background"
    (
      trap - EXIT
      exec >/dev/null 2>&1
      read -rt 30 <>"$dir/never"  # not sleep, which would outlive this shell
      kill -KILL "$background"
    ) &
    watchdog=$!
    wait "$background"
    status=$?
    after="$(date +%s%N)"
    # Not TERM: a subshell that has only just started would still run our trap.
    kill -KILL "$watchdog" 2>/dev/null
    wait "$watchdog" 2>/dev/null
    background=""
    check "Ctrl-C, -j $jobs: status 130" test "$status" -eq 130
    check "Ctrl-C, -j $jobs: says so" err_says "md5all: interrupted"
    check "Ctrl-C, -j $jobs: no output" test ! -s "$dir/out"
    check "Ctrl-C, -j $jobs: nobody left" err_says ", 0 goroutines left"
    echo "      ended $(((after - before) / 1000000)) ms after the signal"
  done
else
  echo "skip  Ctrl-C: no sparse files here"
fi

# --- Usage ------------------------------------------------------------------

run --help
check "--help: status 0, on stdout" test "$status" -eq 0 -a -s "$dir/out" -a ! -s "$dir/err"
for arguments in '' '-j 0 x' '-j -1 x' '-j x x' '-j 4x x' '-j 99999999999 x' '--nonsense x' 'x y' '-j'; do
  # shellcheck disable=SC2086
  run $arguments
  check "wrong usage '$arguments': status 2" test "$status" -eq 2 -a ! -s "$dir/out" -a -s "$dir/err"
done

if [[ $failures -ne 0 ]]; then
  echo "$failures failed"
  exit 1
fi
echo "all passed"
