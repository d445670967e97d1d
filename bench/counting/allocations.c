/* SPDX-License-Identifier: Apache-2.0
 * Copyright 2026 The gochan authors.
 *
 * Counts what a program asks of malloc() and its relatives, and says so on
 * standard error when it ends. To be loaded by LD_PRELOAD (glibc).
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

static atomic_long allocations;

static void Count(void) {
  atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
}

void* malloc(size_t bytes) {
  Count();
  return __libc_malloc(bytes);
}

void* calloc(size_t count, size_t bytes) {
  Count();
  return __libc_calloc(count, bytes);
}

void* realloc(void* old, size_t bytes) {
  Count();
  return __libc_realloc(old, bytes);
}

void* memalign(size_t alignment, size_t bytes) {
  Count();
  return __libc_memalign(alignment, bytes);
}

void* aligned_alloc(size_t alignment, size_t bytes) {
  return memalign(alignment, bytes);
}

int posix_memalign(void** result, size_t alignment, size_t bytes) {
  *result = memalign(alignment, bytes);
  return *result == NULL ? ENOMEM : 0;
}

__attribute__((destructor)) static void Report(void) {
  fprintf(stderr, "allocations %ld\n", atomic_load(&allocations));
}
