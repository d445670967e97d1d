// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// ThreadLocal: a thread-local value for code that may change threads.
//
//   struct WorkerTag {};
//   using CurrentWorker = ThreadLocal<WorkerTag, Worker*>;
//   Worker* before = CurrentWorker::Get();
//   ... SwitchContext(...);                  // may resume on another thread
//   Worker* after = CurrentWorker::Get();    // that thread's
//
// A compiler may take the address of a thread_local variable once in a function
// and use it to the end, for in C++ a function does not change threads. Code
// into which a context switch is inlined does. No barrier in that code helps:
// an address is not memory. So the address must be taken where no switch can
// be: in functions that are never inlined. They contain an empty assembly
// statement, because a function whose body is known may be found to be pure,
// and two calls of it then become one.
//
// For the same reason nothing here returns a reference, and T is copied.
//
// Cost: a call. Code that needs the thread several times asks once after each
// switch, or has it carried along.
//
//   GOCHAN_HOT_THREAD_LOCAL(T, variable, symbol)
//
// The same without the call, for a pointer that every switch looks at: declares
// the variable (whose definition is elsewhere), Get_variable() and
// Set_variable(). In assembly, which no compiler looks through; the variable's
// offset from the thread pointer comes from the linker, by the symbol.

#ifndef GOCHAN_RUNTIME_THREAD_LOCAL_H_
#define GOCHAN_RUNTIME_THREAD_LOCAL_H_

#include <cstdint>
#include <type_traits>

namespace gochan::runtime {

// A function so marked, with UncacheableCall() as its first statement, may use
// thread_local variables and __attribute__((const)) functions (errno is one)
// on behalf of a caller that changes threads between two calls. noipa also
// forbids to keep values in registers of which the body is known not to change
// them; compilers without it do not try.
#if defined(__has_attribute)
#if __has_attribute(noipa)
#define GOCHAN_UNCACHEABLE [[gnu::noinline, gnu::noipa]]
#endif
#endif
#ifndef GOCHAN_UNCACHEABLE
#define GOCHAN_UNCACHEABLE [[gnu::noinline]]
#endif

[[gnu::always_inline]] inline void UncacheableCall() {
  __asm__ __volatile__("" : : : "memory");
}

// One variable for each Tag, zero in every new thread.
template <typename Tag, typename T>
class ThreadLocal {
 public:
  // Trivial, so that there is neither a guard nor a destructor to run at the
  // end of a thread; zero, so that the value lies in memory which costs
  // nothing.
  static_assert(std::is_trivially_copyable_v<T> &&
                std::is_trivially_default_constructible_v<T>);

  GOCHAN_UNCACHEABLE static T Get() {
    UncacheableCall();
    return value_;
  }
  GOCHAN_UNCACHEABLE static void Set(T value) {
    UncacheableCall();
    value_ = value;
  }

 private:
  static inline constinit thread_local T value_{};
};

#if defined(__x86_64__) && defined(__ELF__) && defined(__LP64__)
#define GOCHAN_HOT_THREAD_LOCAL(T, variable, symbol)                  \
  [[gnu::tls_model("initial-exec")]] extern constinit thread_local T* \
      variable __asm__(symbol);                                       \
  [[gnu::always_inline]] inline T* Get_##variable() {                 \
    T* value;                                                         \
    __asm__ __volatile__("movq " symbol                               \
                         "@gottpoff(%%rip), %0\n\t"                   \
                         "movq %%fs:(%0), %0"                         \
                         : "=r"(value)                                \
                         :                                            \
                         : "memory");                                 \
    return value;                                                     \
  }                                                                   \
  [[gnu::always_inline]] inline void Set_##variable(T* value) {       \
    uintptr_t offset;                                                 \
    __asm__ __volatile__("movq " symbol                               \
                         "@gottpoff(%%rip), %0\n\t"                   \
                         "movq %1, %%fs:(%0)"                         \
                         : "=&r"(offset)                              \
                         : "r"(value)                                 \
                         : "memory");                                 \
  }                                                                   \
  static_assert(true)
#elif defined(__aarch64__) && defined(__ELF__) && defined(__LP64__)
#define GOCHAN_HOT_THREAD_LOCAL(T, variable, symbol)                  \
  [[gnu::tls_model("initial-exec")]] extern constinit thread_local T* \
      variable __asm__(symbol);                                       \
  [[gnu::always_inline]] inline T* Get_##variable() {                 \
    T* value;                                                         \
    uintptr_t offset;                                                 \
    __asm__ __volatile__(                                             \
        "mrs %0, tpidr_el0\n\t"                                       \
        "adrp %1, :gottprel:" symbol                                  \
        "\n\t"                                                        \
        "ldr %1, [%1, #:gottprel_lo12:" symbol                        \
        "]\n\t"                                                       \
        "ldr %0, [%0, %1]"                                            \
        : "=&r"(value), "=&r"(offset)                                 \
        :                                                             \
        : "memory");                                                  \
    return value;                                                     \
  }                                                                   \
  [[gnu::always_inline]] inline void Set_##variable(T* value) {       \
    uintptr_t thread;                                                 \
    uintptr_t offset;                                                 \
    __asm__ __volatile__(                                             \
        "mrs %0, tpidr_el0\n\t"                                       \
        "adrp %1, :gottprel:" symbol                                  \
        "\n\t"                                                        \
        "ldr %1, [%1, #:gottprel_lo12:" symbol                        \
        "]\n\t"                                                       \
        "str %2, [%0, %1]"                                            \
        : "=&r"(thread), "=&r"(offset)                                \
        : "r"(value)                                                  \
        : "memory");                                                  \
  }                                                                   \
  static_assert(true)
#else
#define GOCHAN_HOT_THREAD_LOCAL(T, variable, symbol)                  \
  [[gnu::tls_model("initial-exec")]] extern constinit thread_local T* \
      variable __asm__(symbol);                                       \
  GOCHAN_UNCACHEABLE inline T* Get_##variable() {                     \
    UncacheableCall();                                                \
    return variable;                                                  \
  }                                                                   \
  GOCHAN_UNCACHEABLE inline void Set_##variable(T* value) {           \
    UncacheableCall();                                                \
    variable = value;                                                 \
  }                                                                   \
  static_assert(true)
#endif

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_THREAD_LOCAL_H_
