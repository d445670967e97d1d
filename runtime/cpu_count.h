// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// How many workers make sense here: the processors that this process may run
// on, less where its container grants less time than they have.
//
//   NumCpu()          processors in the affinity mask: Go's runtime.NumCPU
//   UsableCpus()      the same, cut by the cgroups' CPU quota: GOMAXPROCS'
//                     default since Go 1.25
//   ParseMaxProcs()   the environment variable GOCHAN_MAXPROCS
//
// The quota is the average that a cgroup grants in processors: quota / period,
// out of cpu.max (cgroup v2) or cpu.cfs_quota_us and cpu.cfs_period_us (v1).
// The rule is Go's: rounded up, and no less than 2, so that a process with half
// a processor still has a second worker while the first is throttled. Unlike
// Go, which reads the process's own cgroup only, the tightest quota from there
// up to the mount's root counts: each of them throttles.
//
// Source: internal/runtime/cgroup and runtime/cgroup_linux.go of Go 1.25;
// cgroups(7), proc_pid_mountinfo(5).

#ifndef GOCHAN_RUNTIME_CPU_COUNT_H_
#define GOCHAN_RUNTIME_CPU_COUNT_H_

#include <string>

namespace gochan::runtime {

// The number of processors that the calling thread, and so the threads that it
// starts, may run on; at least 1. One system call.
int NumCpu();

// Were there others than the caller's when this was first asked? Then who waits
// may wait for somebody who runs.
inline bool HasSeveralCpus() {
  static const bool several = NumCpu() > 1;
  return several;
}

// How many workers to start by default; at least 1. Reads a few files, so call
// it once. Files that are missing or make no sense set no limit.
int UsableCpus();

// The number in `text` if that is 1 to 1024 in decimal digits, else 0, which
// says: not set.
int ParseMaxProcs(const char* text);

// ---- The parts of UsableCpus(), for tests ----------------------------------

// The CPU quota of the calling process's cgroup and all of its ancestors in
// processors, or infinity. `root` is put in front of every path that is read:
// "" is the system's own.
double CgroupCpuLimit(const std::string& root);

// The rule: `cpus` cut by `limit`.
int CpusWithin(int cpus, double limit);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_CPU_COUNT_H_
