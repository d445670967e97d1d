// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// How a goroutine's function ends.
//
//   RunGuarded      runs it; tells how it ended
//   ExitGoroutine   ends it from inside: Go's runtime.Goexit
//   CaughtGoexit    whether a catch (...) has caught that
//   ReportUncaught  for an exception that nobody has caught

#ifndef GOCHAN_RUNTIME_GOEXIT_H_
#define GOCHAN_RUNTIME_GOEXIT_H_

#include <string_view>

namespace gochan::runtime {

enum class Ended { kReturned, kExited };

// Calls fn(arg). An exception that leaves it ends the program, after the
// destructors on its way, with a report in the shape of Go's.
Ended RunGuarded(void (*fn)(void* arg), void* arg) noexcept;

// Unwinds to RunGuarded(), with destructors. On a thread that is not inside of
// RunGuarded(): pthread_exit(). Without exceptions: says so and aborts.
[[noreturn]] void ExitGoroutine();

// In a catch block: is it ExitGoroutine()'s exception?
bool CaughtGoexit();

// In a catch block: prints the exception, the goroutine and where it was
// created, then std::terminate().
[[noreturn]] void ReportUncaught();

// The first line of a report: "<what>: <text>". As in Go, a tab follows each
// newline in `text`, so that nothing in it passes for a line of the report's.
void PrintHeadline(int fd, const char* what, std::string_view text);

// What follows "panic: " and "fatal error: " lines: an empty line, then the
// calling goroutine's id, state, name and where it was created.
void PrintGoroutineHeader(int fd, const char* state);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_GOEXIT_H_
