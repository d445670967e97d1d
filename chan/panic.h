// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Panics: misuse that Go panics on, with Go's own wording.
//
//   Panic        the exception; what() is Go's message
//   RaisePanic   throws it; without exceptions prints it and aborts
//   RaiseFatal   Go's fatal errors: prints and aborts, always
//
// A panic is raised before anything has changed: a value that was to be sent
// still belongs to the caller, unmoved.

#ifndef GOCHAN_CHAN_PANIC_H_
#define GOCHAN_CHAN_PANIC_H_

#include <stdexcept>
#include <string>

namespace gochan {

// Programs may throw their own: `throw gochan::Panic("…")` is Go's panic("…").
class Panic : public std::logic_error {
 public:
  explicit Panic(const std::string& message) : std::logic_error(message) {}
  explicit Panic(const char* message) : std::logic_error(message) {}
  Panic(const Panic&) = default;
  Panic& operator=(const Panic&) = default;
  ~Panic() override;  // out of line: one vtable and one typeinfo
};

// Throws Panic(message). Built with -fno-exceptions: prints "panic: <message>"
// and where the call came from to stderr, then aborts.
[[noreturn]] void RaisePanic(const char* message);
[[noreturn]] void RaisePanic(const std::string& message);

// For misuse after which the program's state cannot be trusted, such as the
// unlock of a mutex that is not locked: prints "fatal error: <message>" to
// stderr, then aborts. Nothing can stop it.
[[noreturn]] void RaiseFatal(const char* message);

// The wordings of Go's runtime and standard library, in one place.
namespace panics {
inline constexpr char kSendOnClosed[] = "send on closed channel";
inline constexpr char kCloseOfClosed[] = "close of closed channel";
inline constexpr char kCloseOfNil[] = "close of nil channel";
inline constexpr char kChanSize[] = "makechan: size out of range";
inline constexpr char kTwoDefaults[] = "reflect.Select: multiple default cases";
inline constexpr char kTooManyCases[] =
    "reflect.Select: too many cases (max 65536)";
inline constexpr char kSendNoValue[] =
    "reflect.Select: SendDir case missing Send value";
inline constexpr char kNilParent[] = "cannot create context from nil parent";
inline constexpr char kNilKey[] = "nil key";
inline constexpr char kNilPanic[] = "panic called with nil argument";
inline constexpr char kNegativeWaitGroup[] = "sync: negative WaitGroup counter";
inline constexpr char kAddBesideWait[] =
    "sync: WaitGroup misuse: Add called concurrently with Wait";
inline constexpr char kReusedWaitGroup[] =
    "sync: WaitGroup is reused before previous Wait has returned";
inline constexpr char kWaitGroupInUse[] =
    "sync: WaitGroup destroyed with tasks not done: ";  // their number follows
inline constexpr char kErrGroupInUse[] =
    "errgroup: last handle destroyed with tasks not done: ";  // likewise
inline constexpr char kSemaphoreSize[] = "semaphore: size < 0";
inline constexpr char kSemaphoreWeight[] = "semaphore: n < 0";
inline constexpr char kSemaphoreReleased[] =
    "semaphore: released more than held";

// Fatal errors.
inline constexpr char kUnlockMutex[] = "sync: unlock of unlocked mutex";
inline constexpr char kUnlockRWMutex[] = "sync: Unlock of unlocked RWMutex";
inline constexpr char kRUnlockRWMutex[] = "sync: RUnlock of unlocked RWMutex";
}  // namespace panics

}  // namespace gochan

#endif  // GOCHAN_CHAN_PANIC_H_
