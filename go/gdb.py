# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The gochan authors.
"""Goroutines in gdb, in a live process or in a core.

    (gdb) source .../go/gdb.py
    (gdb) info goroutines                 all of them
    (gdb) info goroutines chan receive    those with these words in their line
    (gdb) goroutine 7 bt                  a gdb command as if 7 were running
    (gdb) goroutine 7 info locals
    (gdb) goroutine all bt

`goroutine N COMMAND` selects the frame at which N has left its stack, or the thread on which it
runs, for the time of the command. Nothing in the process is changed.

Needs symbols (a program that is not stripped), not debug information; that adds arguments, locals
and lines. Backtraces of parked goroutines: x86-64 and AArch64, Linux and others with ELF; not where
gochan switches by <ucontext.h>. gdb 10 or newer with Python.

A core that the kernel writes has all stacks. One that gdb writes (generate-core-file) has them only
if the program was started with GOCHAN_STACK_GUARD=mprotect in the environment: else, from Linux
6.13 on, gdb cannot read what lies around their guards.
"""

import re

import gdb
import gdb.unwinder

# As in runtime/goroutine.cc, struct DebugLayout.
_LAYOUT = (
    "version arena_base arena_used task_size task_state task_id task_creator task_options "
    "task_goroutine task_site site_words options_name string_is_pointer_and_length context "
    "note_word note_site note_object stack_base stack_size reasons reason_count"
).split()
_VERSION = 1

_STARTED = 2  # Task::kStarted; 1 is kPending
_WAITING = 2  # GoroutineNote::kWaiting

# What a switch saves, in the order of runtime/switch.h, struct Context.
_REGISTERS = {
    "i386:x86-64": ("rsp", "rbp", "rip", "rbx"),
    "aarch64": ("sp", "x29", "pc", "x19"),
}


def _read(address, size):
    data = gdb.selected_inferior().read_memory(address, size)
    return int.from_bytes(bytes(data), "little")


def _word(address):
    return _read(address, 8)


def _string(address, limit=1024):
    """The text at `address`, up to a null."""
    if address == 0:
        return ""
    out = b""
    while len(out) < limit:
        # Not across a page: the next one may not be there.
        size = min(64, 4096 - (address + len(out)) % 4096)
        piece = bytes(gdb.selected_inferior().read_memory(address + len(out), size))
        out += piece.split(b"\0")[0]
        if b"\0" in piece:
            break
    return out[:limit].decode("utf-8", "replace")


def _layout():
    try:
        at = int(gdb.parse_and_eval("(unsigned long)&gochan_debug_layout"))
    except gdb.error:
        raise gdb.GdbError("No goroutines: this program has no gochan, or no symbols.")
    layout = {name: _word(at + 8 * i) for i, name in enumerate(_LAYOUT)}
    if layout["version"] != _VERSION:
        raise gdb.GdbError("go/gdb.py is of another version of gochan than this program.")
    return layout


def _short(function):
    """A compiler's name of a function without result type and parameters."""
    depth = 0
    start = 0
    for i, c in enumerate(function):
        if c in "(<[{":
            if c == "(" and depth == 0 and i > 0 and not function.startswith("(anonymous", i):
                tail = function[i:]
                lambdas = "::<lambda>" * (tail.count("::<lambda") + tail.count("::(anonymous class)"))
                return function[start:i].lstrip("*&") + "()" + lambdas
            depth += 1
        elif c in ")>]}":
            depth -= 1
        elif c == " " and depth == 0:
            start = i + 1
    return function[start:]


class Goroutine:
    """One that has been started and has not ended."""

    def __init__(self, layout, task):
        self.id = _word(task + layout["task_id"])
        self.creator = _word(task + layout["task_creator"])
        self.created_at = self._site(layout, task + layout["task_site"])
        self.name = ""
        self.state = "runnable"  # not begun
        self.blocked_at = None
        self.context = None  # sp, fp, pc, base of a parked one
        self.stack = None
        options = _word(task + layout["task_options"])
        if options != 0 and layout["string_is_pointer_and_length"]:
            text = options + layout["options_name"]
            self.name = _string(_word(text), _word(text + 8)) if _word(text + 8) else ""
        if _read(task + layout["task_state"], 4) != _STARTED:
            return
        g = _word(task + layout["task_goroutine"])
        base = _word(g + layout["stack_base"])
        self.stack = (base, base + _word(g + layout["stack_size"]))
        note = _word(g + layout["note_word"])
        self.state = "running"
        if note & 0xFF != _WAITING:
            return
        reason = note >> 8 & 0xFF
        if reason < layout["reason_count"]:
            self.state = _string(_word(layout["reasons"] + 8 * reason))
        self.blocked_at = self._site(layout, g + layout["note_site"])
        context = [_word(g + layout["context"] + 8 * i) for i in range(4)]
        if self.state != "blocking call" and context[0] != 0:
            self.context = context

    @staticmethod
    def _site(layout, at):
        if layout["site_words"] == 1:
            at = _word(at)
            if at == 0:
                return None
        return "%s:%d in %s" % (
            _string(_word(at)),
            _read(at + 16, 4),
            _short(_string(_word(at + 8))),
        )

    def thread(self):
        """The thread that runs on its stack, or None."""
        if self.stack is None:
            return None
        selected = gdb.selected_thread()
        try:
            for thread in gdb.selected_inferior().threads():
                thread.switch()
                sp = int(gdb.newest_frame().read_register("sp"))
                if self.stack[0] <= sp < self.stack[1]:
                    return thread
        finally:
            if selected is not None:
                selected.switch()
        return None

    def line(self):
        name = ' "%s"' % self.name if self.name else ""
        if self.blocked_at is not None:
            where = self.blocked_at
        else:
            where = "created by " + (self.created_at or "?")
        return "%6d  %-24s%s  %s" % (self.id, "[" + self.state + "]", name, where)


def _goroutines():
    layout = _layout()
    base = _word(layout["arena_base"])
    used = _read(layout["arena_used"], 4)
    found = []
    size = layout["task_size"]
    for i in range(used if base != 0 else 0):
        task = base + i * size
        try:
            state = _read(task + layout["task_state"], 4)
        except gdb.MemoryError:
            continue  # counted, but without memory
        if state != 0:
            found.append(Goroutine(layout, task))
    return sorted(found, key=lambda g: g.id)


class _FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class _GoroutineUnwinder(gdb.unwinder.Unwinder):
    """While `context` is set, the innermost frame of the selected thread is called by a goroutine."""

    def __init__(self):
        super().__init__("gochan")
        self.context = None

    def __call__(self, pending):
        if self.context is None or pending.architecture().name() not in _REGISTERS:
            return None
        names = _REGISTERS[pending.architecture().name()]
        if int(pending.read_register(names[0])) != self.thread_sp:
            return None  # one of the goroutine's own

        def value(register, number):
            kind = gdb.lookup_type("unsigned long long")
            return gdb.Value(number).cast(kind)

        sp = self.context[0]
        # Below the goroutine's frames, as gdb wants callers to be above.
        info = pending.create_unwind_info(
            _FrameId(value(names[0], sp - 64), pending.read_register(names[2]))
        )
        for name, number in zip(names, self.context):
            info.add_saved_register(name, value(name, number))
        return info

    def use(self, context):
        self.context = None
        gdb.invalidate_cached_frames()
        if context is not None:
            architecture = gdb.newest_frame().architecture().name()
            if architecture not in _REGISTERS:
                raise gdb.GdbError("Not on this processor.")
            names = _REGISTERS[architecture]
            self.thread_sp = int(gdb.newest_frame().read_register(names[0]))
            self.context = context
            gdb.invalidate_cached_frames()


_unwinder = _GoroutineUnwinder()
gdb.unwinder.register_unwinder(None, _unwinder, replace=True)

_BACKTRACE = re.compile(r"^(bt|backtrace|where)\b")


def _without_first(text):
    """A backtrace without frame 0, which is the thread's, and counted anew."""
    lines = []
    number = -1
    for line in text.splitlines():
        match = re.match(r"#(\d+)( *)", line)
        if match:
            number = int(match.group(1)) - 1
            head = "#%d" % number
            line = head.ljust(match.end()) + line[match.end() :]
        if number >= 0:
            lines.append(line)
    return "".join(line + "\n" for line in lines)


def _run(goroutine, command):
    thread = goroutine.thread()
    if thread is not None:
        selected = gdb.selected_thread()
        frame = gdb.selected_frame()
        thread.switch()
        try:
            gdb.execute(command)
        finally:
            selected.switch()
            frame.select()
        return
    if goroutine.context is None:
        print("It has no stack yet.")
        return
    try:
        _unwinder.use(goroutine.context)
        if _BACKTRACE.match(command):
            print(_without_first(gdb.execute(command, to_string=True)), end="")
        else:
            caller = gdb.newest_frame().older()
            if caller is None:
                raise gdb.GdbError("Its stack cannot be read.")
            caller.select()
            gdb.execute(command)
    finally:
        _unwinder.use(None)


class _InfoGoroutines(gdb.Command):
    """List all goroutines: id, what it waits for, name, and where it is.
info goroutines [WORDS]: only those with WORDS in their line."""

    def __init__(self):
        super().__init__("info goroutines", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        for goroutine in _goroutines():
            line = goroutine.line()
            if argument in line:
                print(line)


class _GoroutineCommand(gdb.Command):
    """Run a gdb command in the context of a goroutine.
goroutine N COMMAND, or goroutine all COMMAND; without COMMAND, bt."""

    def __init__(self):
        super().__init__("goroutine", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = argument.split(None, 1)
        if not words:
            raise gdb.GdbError("Usage: goroutine N|all COMMAND")
        command = words[1] if len(words) == 2 else "bt"
        found = _goroutines()
        if words[0] != "all":
            found = [g for g in found if str(g.id) == words[0]]
            if not found:
                raise gdb.GdbError("No goroutine %s." % words[0])
            _run(found[0], command)
            return
        for goroutine in found:
            print("\ngoroutine" + goroutine.line().replace("  ", " "))
            try:
                _run(goroutine, command)
            except gdb.error as error:
                print(error)


_InfoGoroutines()
_GoroutineCommand()
