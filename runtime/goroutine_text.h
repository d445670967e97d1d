// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What reports say about a goroutine, in the shape of Go's.
//
//   PrintGoroutine      its id, state, name and where it was created
//   PrintOverflowed     the same of the one whose stack has overflowed
//   ShortFunction       a compiler's name of a function, made readable
//   FormatLabels        {key: value, other: "with a blank"}
//
// All are async-signal-safe: no allocation, no lock.

#ifndef GOCHAN_RUNTIME_GOROUTINE_TEXT_H_
#define GOCHAN_RUNTIME_GOROUTINE_TEXT_H_

#include <cstddef>
#include <string_view>

#include "runtime/goroutine.h"
#include "runtime/stack.h"

namespace gochan::runtime {

// Prints, and nothing more:
//
//   goroutine 7 [running] "name" {key: value}:
//   created by main() in goroutine 1
//   <tab>main.cc:12
//
// Name and labels if it has any, "in goroutine" if a goroutine has created it.
// By that goroutine itself, or while it cannot end.
void PrintGoroutine(int fd, const Task& task, const char* state);

// The hook of runtime/stack.h. Knows the goroutine that runs on the calling
// thread; of other stacks it says nothing.
void PrintOverflowed(int fd, const Stack& stack);

// Writes to out[0, room) what is left of `function` (what a SourceLocation
// holds) without return type, parameters, qualifiers and template arguments
// that stand behind; a null at the end. Cuts what does not fit. Returns the
// length.
//
//   int main()                                       main()
//   main(int, char**)::<lambda(int)> mutable         main()::<lambda>
//   void ns::Box<T>::Put(T) const [with T = int]     ns::Box<T>::Put()
std::size_t ShortFunction(const char* function, char* out, std::size_t room);

// Calls put(out, text) for each piece of `labels` as Go shows them in
// tracebacks: quoted where there are other characters than letters, digits and
// those of paths.
void FormatLabels(const Labels& labels,
                  void (*put)(void* out, std::string_view text), void* out);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_GOROUTINE_TEXT_H_
