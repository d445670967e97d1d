// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/spawn.h"

#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "runtime/atomic.h"

namespace gochan::runtime {

namespace {

constinit Atomic<Spawner> installed{nullptr};

void* RunOnThread(void* arg) noexcept {
  std::unique_ptr<absl::AnyInvocable<void()>> fn(
      static_cast<absl::AnyInvocable<void()>*>(arg));
  (*fn)();
  return nullptr;
}

// pthread_create, not std::thread: its error is a number, also without
// exceptions, and an exception out of `fn` meets std::terminate all the same.
void SpawnThread(absl::AnyInvocable<void()> fn) {
  auto arg = std::make_unique<absl::AnyInvocable<void()>>(std::move(fn));
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const int error = pthread_create(&thread, &detached, &RunOnThread, arg.get());
  pthread_attr_destroy(&detached);
  if (error != 0) {
    std::fprintf(stderr, "gochan: cannot start a thread: %s\n",
                 std::strerror(error));
    std::abort();
  }
  arg.release();  // the thread's now
}

}  // namespace

void Spawn(absl::AnyInvocable<void()> fn) {
  // SP1 acquire: the runtime behind it; pairs with SP1 in SetSpawner().
  const Spawner spawner = installed.load(std::memory_order_acquire);
  (spawner != nullptr ? spawner : &SpawnThread)(std::move(fn));
}

void SetSpawner(Spawner spawner) {
  // SP1 release: all that the runtime has set up.
  installed.store(spawner, std::memory_order_release);
}

}  // namespace gochan::runtime
