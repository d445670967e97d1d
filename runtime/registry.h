// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Whether goroutines note what they wait for, and handles where they are, so
// that dumps and FindLeaks() can tell. With GOCHAN_REGISTRY=0, which must be
// the same for the whole program, both are compiled out: every goroutine then
// looks as if it ran, and no leak is found.

#ifndef GOCHAN_RUNTIME_REGISTRY_H_
#define GOCHAN_RUNTIME_REGISTRY_H_

#ifndef GOCHAN_REGISTRY
#define GOCHAN_REGISTRY 1
#endif

#endif  // GOCHAN_RUNTIME_REGISTRY_H_
