// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/goexit.h"

#include <cxxabi.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <typeinfo>

#include "runtime/goroutine.h"
#include "runtime/goroutine_text.h"

namespace gochan::runtime {

void PrintHeadline(int fd, const char* what, std::string_view text) {
  std::string line(what);
  line += ": ";
  for (const char c : text) {
    line += c;
    if (c == '\n') line += '\t';
  }
  dprintf(fd, "%s\n", line.c_str());
}

void PrintGoroutineHeader(int fd, const char* state) {
  Goroutine* const g = CurrentGoroutine();
  if (g == nullptr) {
    dprintf(fd, "\nthread [%s]:\n", state);
    return;
  }
  dprintf(fd, "\n");
  PrintGoroutine(fd, *g->task, state);
}

#if defined(__cpp_exceptions)

namespace {

// What Goexit() throws. Nobody else can name it; catch (...) must rethrow.
struct GoexitToken {};

}  // namespace

void ReportUncaught() {
  std::string what;
  try {
    throw;
  } catch (const std::exception& e) {
    what = e.what();
  } catch (const std::string& text) {
    what = text;
  } catch (const char* text) {
    what = text == nullptr ? "null" : text;
  } catch (...) {
#if defined(__cpp_rtti)
    const std::type_info* const type = abi::__cxa_current_exception_type();
    int status = 0;
    std::unique_ptr<char, decltype(&std::free)> name(
        type == nullptr
            ? nullptr
            : abi::__cxa_demangle(type->name(), nullptr, nullptr, &status),
        &std::free);
    what = std::string("exception of type ") +
           (name != nullptr ? name.get()
                            : (type != nullptr ? type->name() : "unknown"));
#else
    what = "exception of unknown type";
#endif
  }
  std::fflush(stdout);
  PrintHeadline(STDERR_FILENO, "panic", what);
  PrintGoroutineHeader(STDERR_FILENO, "running");
  std::terminate();
}

Ended RunGuarded(void (*fn)(void* arg), void* arg) noexcept {
  try {
    fn(arg);
    return Ended::kReturned;
  } catch (const GoexitToken&) {
    return Ended::kExited;
  } catch (...) {
    ReportUncaught();
  }
}

void ExitGoroutine() {
  if (CurrentGoroutine() == nullptr) pthread_exit(nullptr);
  throw GoexitToken();
}

bool CaughtGoexit() {
  try {
    throw;
  } catch (const GoexitToken&) {
    return true;
  } catch (...) {
    return false;
  }
}

#else

bool CaughtGoexit() { return false; }

void ReportUncaught() { std::abort(); }

Ended RunGuarded(void (*fn)(void* arg), void* arg) noexcept {
  fn(arg);
  return Ended::kReturned;
}

void ExitGoroutine() {
  if (CurrentGoroutine() == nullptr) pthread_exit(nullptr);
  dprintf(STDERR_FILENO,
          "fatal error: Goexit needs exceptions, without which this program "
          "was built\n");
  PrintGoroutineHeader(STDERR_FILENO, "running");
  std::abort();
}

#endif

}  // namespace gochan::runtime
