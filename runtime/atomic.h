// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Atomic<T>: std::atomic with every memory order spelled out, and a seam.
//
// All atomics of chan, select and ctx go through this class (and through
// Atomic128 for the two-word ones), so that a build with GOCHAN_INSTRUMENT can
// control their interleaving (runtime/instrument.h). There are no defaulted
// orders: whoever writes an access says which edge it makes.
//
// Source of the idea: tokio's crate::loom.

#ifndef GOCHAN_RUNTIME_ATOMIC_H_
#define GOCHAN_RUNTIME_ATOMIC_H_

#include <atomic>

#include "runtime/instrument.h"

namespace gochan::runtime {

template <typename T>
class Atomic {
 public:
  constexpr Atomic() noexcept : value_(T{}) {}
  constexpr explicit Atomic(T value) noexcept : value_(value) {}
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  T load(std::memory_order order) const {
    Step(StepKind::kLoad, this);
    return value_.load(order);
  }
  void store(T value, std::memory_order order) {
    Step(StepKind::kStore, this);
    value_.store(value, order);
  }
  T exchange(T value, std::memory_order order) {
    Step(StepKind::kRmw, this);
    return value_.exchange(value, order);
  }
  // Strong; on failure `expected` holds the value found, read with the load
  // part of `order`.
  [[nodiscard]] bool compare_exchange(T& expected, T desired,
                                      std::memory_order order) {
    Step(StepKind::kRmw, this);
    return value_.compare_exchange_strong(expected, desired, order,
                                          FailureOrder(order));
  }
  T fetch_add(T delta, std::memory_order order) {
    Step(StepKind::kRmw, this);
    return value_.fetch_add(delta, order);
  }
  T fetch_sub(T delta, std::memory_order order) {
    Step(StepKind::kRmw, this);
    return value_.fetch_sub(delta, order);
  }
  T fetch_or(T bits, std::memory_order order) {
    Step(StepKind::kRmw, this);
    return value_.fetch_or(bits, order);
  }
  T fetch_and(T bits, std::memory_order order) {
    Step(StepKind::kRmw, this);
    return value_.fetch_and(bits, order);
  }

  // The word itself, for futex(2) and for tools that look without a step.
  const std::atomic<T>* word() const { return &value_; }
  std::atomic<T>* word() { return &value_; }

 private:
  static constexpr std::memory_order FailureOrder(std::memory_order order) {
    switch (order) {
      case std::memory_order_acq_rel:
        return std::memory_order_acquire;
      case std::memory_order_release:
        return std::memory_order_relaxed;
      default:
        return order;
    }
  }

  std::atomic<T> value_;
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_ATOMIC_H_
