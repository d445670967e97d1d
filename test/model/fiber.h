// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Fiber: a stack that the schedule explorer switches to and from, thousands of
// times per schedule and without a system call. Nothing is ever unwound: a
// fiber that is started again, or destroyed, forgets what its stack held.
//
//   Fiber main;                        // the thread's own stack
//   Fiber fiber(64 * 1024);
//   fiber.Start(&Body, arg);           // nothing runs yet
//   Fiber::Switch(main, fiber);        // Body runs until it switches back

#ifndef GOCHAN_TEST_MODEL_FIBER_H_
#define GOCHAN_TEST_MODEL_FIBER_H_

#include <cstddef>

namespace gochan::model {

class Fiber {
 public:
  Fiber() = default;  // stands for the stack of the thread
  explicit Fiber(std::size_t stack_size);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next switch to this fiber calls body(arg), which must not return.
  void Start(void (*body)(void*), void* arg);

  static void Switch(Fiber& from, Fiber& to);

 private:
  static void Enter();
  static void Arrive(Fiber& fiber);

  // The exceptions that this stack is handling: the C++ runtime keeps them per
  // thread, but here a switch may come from a destructor that unwinding runs.
  struct Exceptions {
    void* caught = nullptr;
    unsigned uncaught = 0;
  };

  char* stack_ = nullptr;
  std::size_t size_ = 0;
  void* context_ = nullptr;  // the saved stack pointer, or a ucontext_t
  void (*body_)(void*) = nullptr;
  void* arg_ = nullptr;
  Exceptions exceptions_;
  // AddressSanitizer's:
  void* fake_stack_ = nullptr;
  const void* asan_bottom_ = nullptr;
  std::size_t asan_size_ = 0;
};

}  // namespace gochan::model

#endif  // GOCHAN_TEST_MODEL_FIBER_H_
