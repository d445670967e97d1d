// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/cpu_count.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <thread>

#include "gtest/gtest.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace gochan::runtime {
namespace {

namespace fs = std::filesystem;

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// A made-up system: files below a folder of its own.
class Tree {
 public:
  Tree() {
    std::string name = testing::TempDir() + "/cpu_count.XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree() { fs::remove_all(root_); }

  Tree& Write(const std::string& path, std::string_view text) {
    const fs::path file = root_ + path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return *this;
  }
  Tree& Cgroup(std::string_view text) {
    return Write("/proc/self/cgroup", text);
  }
  Tree& Mounts(std::string_view text) {
    return Write("/proc/self/mountinfo", text);
  }
  Tree& V1(const std::string& folder, std::string_view quota,
           std::string_view period) {
    Write(folder + "/cpu.cfs_quota_us", quota);
    return Write(folder + "/cpu.cfs_period_us", period);
  }
  double Limit() const { return CgroupCpuLimit(root_); }

 private:
  std::string root_;
};

constexpr std::string_view kOtherMounts =
    "22 1 8:1 / / rw,relatime - ext4 /dev/root rw\n"
    "20 22 0:19 / /proc rw,nosuid,nodev,noexec - proc proc rw\n"
    "21 22 0:20 / /sys rw,nosuid,nodev,noexec - sysfs sysfs rw\n"
    "23 22 0:21 / /data rw - overlay overlay rw,lowerdir=/cpu,cpu\n";
constexpr std::string_view kV2Mount =
    "25 21 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
constexpr std::string_view kV1Mounts =
    "49 22 0:37 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "56 22 0:40 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "59 22 0:43 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";

std::string operator+(std::string_view a, std::string_view b) {
  return std::string(a).append(b);
}

// ---- Where the cgroup is ---------------------------------------------------

TEST(CgroupCpuLimitTest, NoFilesAreNoLimit) {
  EXPECT_EQ(Tree().Limit(), kNoLimit);
  EXPECT_EQ(Tree().Cgroup("0::/\n").Limit(), kNoLimit);
  EXPECT_EQ(Tree().Mounts(kV2Mount).Limit(), kNoLimit);
}

TEST(CgroupCpuLimitTest, V2AtTheMountsRoot) {
  Tree tree;
  tree.Cgroup("0::/\n").Mounts(kOtherMounts + kV2Mount);
  EXPECT_EQ(tree.Limit(), kNoLimit) << "the root of all has no cpu.max";
  tree.Write("/sys/fs/cgroup/cpu.max", "250000 100000\n");
  EXPECT_EQ(tree.Limit(), 2.5);
}

TEST(CgroupCpuLimitTest, V2BelowTheMountsRoot) {
  Tree tree;
  tree.Cgroup("0::/system.slice/app.service\n").Mounts(kV2Mount);
  tree.Write("/sys/fs/cgroup/system.slice/app.service/cpu.max",
             "300000 100000\n");
  EXPECT_EQ(tree.Limit(), 3);
}

TEST(CgroupCpuLimitTest, V1) {
  Tree tree;
  tree.Cgroup("3:memory:/a/m\n2:cpu,cpuacct:/a/b\n1:cpuset:/a/s\n");
  tree.Mounts(kOtherMounts + kV1Mounts);
  EXPECT_EQ(tree.Limit(), kNoLimit);
  tree.V1("/sys/fs/cgroup/cpu/a/b", "150000\n", "100000\n");
  EXPECT_EQ(tree.Limit(), 1.5);
}

TEST(CgroupCpuLimitTest, V1TakesPrecedenceIfItHasTheController) {
  Tree tree;
  tree.Cgroup("0::/two\n1:cpu:/one\n").Mounts(kV2Mount + kV1Mounts);
  tree.Write("/sys/fs/cgroup/two/cpu.max", "400000 100000\n");
  tree.V1("/sys/fs/cgroup/cpu/one", "700000\n", "100000\n");
  EXPECT_EQ(tree.Limit(), 7);
}

TEST(CgroupCpuLimitTest, V2IfV1LacksTheController) {
  Tree tree;
  tree.Cgroup("2:cpuacct,cpuset:/one\n1:name=systemd:/x\n0::/two\n");
  tree.Mounts(kV1Mounts + kV2Mount);
  tree.Write("/sys/fs/cgroup/two/cpu.max", "400000 100000\n");
  tree.V1("/sys/fs/cgroup/cpu/one", "700000\n", "100000\n");
  EXPECT_EQ(tree.Limit(), 4);
}

TEST(CgroupCpuLimitTest, AMountOfThatHierarchyMustBeThere) {
  Tree tree;
  tree.Cgroup("0::/\n").Mounts(kOtherMounts + kV1Mounts);
  tree.Write("/sys/fs/cgroup/cpu/cpu.max", "100000 100000\n");
  tree.V1("/sys/fs/cgroup/cpu", "100000\n", "100000\n");
  EXPECT_EQ(tree.Limit(), kNoLimit);
}

// ---- Ancestors -------------------------------------------------------------

TEST(CgroupCpuLimitTest, TheTightestAncestorCounts) {
  for (const char* tightest : {"", "/a", "/a/b", "/a/b/c"}) {
    SCOPED_TRACE(tightest);
    Tree tree;
    tree.Cgroup("0::/a/b/c\n").Mounts(kV2Mount);
    const std::string mount = "/sys/fs/cgroup";
    tree.Write(mount + "/cpu.max", "max 100000\n");
    tree.Write(mount + "/a/cpu.max", "900000 100000\n");
    tree.Write(mount + "/a/b/cpu.max", "800000 100000\n");
    tree.Write(mount + "/a/b/c/cpu.max", "max 100000\n");
    EXPECT_EQ(tree.Limit(), 8);
    tree.Write(mount + tightest + "/cpu.max", "200000 100000\n");
    EXPECT_EQ(tree.Limit(), 2);
  }
}

TEST(CgroupCpuLimitTest, AncestorsInV1) {
  Tree tree;
  tree.Cgroup("1:cpu:/a/b\n").Mounts(kV1Mounts);
  tree.V1("/sys/fs/cgroup/cpu", "-1\n", "100000\n");
  tree.V1("/sys/fs/cgroup/cpu/a", "50000\n", "10000\n");
  tree.V1("/sys/fs/cgroup/cpu/a/b", "-1\n", "100000\n");
  EXPECT_EQ(tree.Limit(), 5);
}

TEST(CgroupCpuLimitTest, SiblingsAndChildrenDoNotCount) {
  Tree tree;
  tree.Cgroup("0::/a/b\n").Mounts(kV2Mount);
  tree.Write("/sys/fs/cgroup/a/b/cpu.max", "600000 100000\n");
  tree.Write("/sys/fs/cgroup/a/b/child/cpu.max", "100000 100000\n");
  tree.Write("/sys/fs/cgroup/a/sibling/cpu.max", "100000 100000\n");
  tree.Write("/sys/fs/cpu.max", "100000 100000\n");  // above the mount
  EXPECT_EQ(tree.Limit(), 6);
}

TEST(CgroupCpuLimitTest, AFolderThatIsGoneHidesNoAncestor) {
  Tree tree;
  tree.Cgroup("0::/a/gone/deep\n").Mounts(kV2Mount);
  tree.Write("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
  EXPECT_EQ(tree.Limit(), 3);
}

// ---- Containers ------------------------------------------------------------

TEST(CgroupCpuLimitTest, TheMountShowsTheContainersOwnCgroup) {
  // As Docker does it without a cgroup namespace.
  Tree tree;
  tree.Cgroup("4:cpu,cpuacct:/docker/0123abcd\n");
  tree.Mounts(
      "56 22 0:40 /docker/0123abcd /sys/fs/cgroup/cpu,cpuacct ro - "
      "cgroup cgroup rw,cpu,cpuacct\n");
  tree.V1("/sys/fs/cgroup/cpu,cpuacct", "400000\n", "100000\n");
  EXPECT_EQ(tree.Limit(), 4);
}

TEST(CgroupCpuLimitTest, TheProcessIsBelowWhatTheMountShows) {
  Tree tree;
  tree.Cgroup("0::/docker/0123abcd/app\n");
  tree.Mounts("56 22 0:40 /docker/0123abcd /cgroup ro - cgroup2 none rw\n");
  tree.Write("/cgroup/app/cpu.max", "400000 100000\n");
  EXPECT_EQ(tree.Limit(), 4);
  tree.Write("/cgroup/cpu.max", "300000 100000\n");
  EXPECT_EQ(tree.Limit(), 3);
}

TEST(CgroupCpuLimitTest, AMountOfAnotherCgroupIsNotTaken) {
  Tree tree;
  tree.Cgroup("0::/docker/0123abcd\n");
  // The second has the cgroup's name as the start of a longer one.
  tree.Mounts(
      "56 22 0:40 /docker/other /cgroup1 ro - cgroup2 none rw\n"
      "57 22 0:40 /docker/0123 /cgroup2 ro - cgroup2 none rw\n");
  tree.Write("/cgroup1/cpu.max", "100000 100000\n");
  tree.Write("/cgroup2/cpu.max", "100000 100000\n");
  tree.Write("/cgroup2abcd/cpu.max", "100000 100000\n");
  EXPECT_EQ(tree.Limit(), kNoLimit);
}

TEST(CgroupCpuLimitTest, EveryMountThatShowsTheCgroupCounts) {
  Tree tree;
  tree.Cgroup("0::/docker/0123abcd\n");
  tree.Mounts(
      "56 22 0:40 /docker/0123abcd /own ro - cgroup2 none rw\n"
      "57 22 0:40 / /host ro - cgroup2 none rw\n");
  tree.Write("/own/cpu.max", "700000 100000\n");
  tree.Write("/host/docker/0123abcd/cpu.max", "700000 100000\n");
  tree.Write("/host/docker/cpu.max", "500000 100000\n");
  EXPECT_EQ(tree.Limit(), 5);
}

TEST(CgroupCpuLimitTest, OutsideOfTheNamespace) {
  // The process was moved out of its cgroup namespace's root by two levels.
  Tree tree;
  tree.Cgroup("0::/../../init\n");
  tree.Mounts(
      "56 22 0:40 / /inside ro - cgroup2 none rw\n"
      "57 22 0:40 /.. /above ro - cgroup2 none rw\n");
  for (const char* folder :
       {"/inside", "/above", "/init", "/above/init", "/inside/init"}) {
    tree.Write(std::string(folder) + "/cpu.max", "100000 100000\n");
  }
  EXPECT_EQ(tree.Limit(), kNoLimit);

  tree.Mounts("58 22 0:40 /../.. /top ro - cgroup2 none rw\n");
  tree.Write("/top/init/cpu.max", "600000 100000\n");
  EXPECT_EQ(tree.Limit(), 6);
  tree.Mounts("59 22 0:40 /../../init /init ro - cgroup2 none rw\n");
  EXPECT_EQ(tree.Limit(), 1);
}

TEST(CgroupCpuLimitTest, EscapesInPaths) {
  Tree tree;
  tree.Cgroup("0::/with blank/b\\c\n");
  tree.Mounts(
      "56 22 0:40 /with\\040blank /my\\011mount\\134x ro - cgroup2 none rw\n");
  tree.Write("/my\tmount\\x/b\\c/cpu.max", "300000 100000\n");
  EXPECT_EQ(tree.Limit(), 3);
}

// ---- What is in the files --------------------------------------------------

double V2LimitOf(std::string_view text) {
  Tree tree;
  tree.Cgroup("0::/\n").Mounts(kV2Mount);
  return tree.Write("/sys/fs/cgroup/cpu.max", text).Limit();
}

TEST(CgroupCpuLimitTest, V2Numbers) {
  EXPECT_EQ(V2LimitOf("max 100000\n"), kNoLimit);
  EXPECT_EQ(V2LimitOf("50000 100000\n"), 0.5);
  EXPECT_EQ(V2LimitOf("500000 100000\n"), 5);
  EXPECT_EQ(V2LimitOf("9223372036854775807 9223372036854775807\n"), 1);
  for (const char* malformed :
       {"", "\n", "500000\n", "500000us 100000\n", "500000 100000us\n",
        "100000 0\n", "100000 -1\n", "-1 100000\n", "100000  100000\n",
        "99999999999999999999 1\n"}) {
    EXPECT_EQ(V2LimitOf(malformed), kNoLimit) << malformed;
  }
}

double V1LimitOf(std::string_view quota, std::string_view period) {
  Tree tree;
  tree.Cgroup("1:cpu:/\n").Mounts(kV1Mounts);
  return tree.V1("/sys/fs/cgroup/cpu", quota, period).Limit();
}

TEST(CgroupCpuLimitTest, V1Numbers) {
  EXPECT_EQ(V1LimitOf("-1\n", "100000\n"), kNoLimit);
  EXPECT_EQ(V1LimitOf("250000\n", "100000\n"), 2.5);
  EXPECT_EQ(V1LimitOf("100000\n", "0\n"), kNoLimit);
  EXPECT_EQ(V1LimitOf("100000 100000\n", "100000\n"), kNoLimit);
  EXPECT_EQ(V1LimitOf("100000max\n", "100000\n"), kNoLimit);
  EXPECT_EQ(V1LimitOf("100000\n", ""), kNoLimit);
}

TEST(CgroupCpuLimitTest, LinesThatMakeNoSenseAreSkipped) {
  Tree tree;
  tree.Cgroup("\n0\n0:\n0::\n0::relative\n:::\n0::/a\n");
  tree.Mounts("\n1\n1 2 3\n1 2 3 / /x\n1 2 3 / /x - \n - cgroup2\n" +
              std::string(kV2Mount));
  tree.Write("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
  EXPECT_EQ(tree.Limit(), 3);
}

// ---- Numbers of workers ----------------------------------------------------

TEST(CpusWithinTest, RoundsUpAndIsAtLeastTwo) {
  EXPECT_EQ(CpusWithin(8, kNoLimit), 8);
  EXPECT_EQ(CpusWithin(8, 1e300), 8);
  EXPECT_EQ(CpusWithin(8, 8), 8);
  EXPECT_EQ(CpusWithin(8, 7.9), 8);
  EXPECT_EQ(CpusWithin(8, 3), 3);
  EXPECT_EQ(CpusWithin(8, 2.1), 3);
  EXPECT_EQ(CpusWithin(8, 1), 2);
  EXPECT_EQ(CpusWithin(8, 0.1), 2);
  EXPECT_EQ(CpusWithin(8, 0), 2);
  EXPECT_EQ(CpusWithin(1, 0.1), 1);
  EXPECT_EQ(CpusWithin(1, 4), 1);
}

TEST(UsableCpusTest, IsBetweenOneAndTheNumberOfCpus) {
  EXPECT_GE(UsableCpus(), 1);
  EXPECT_LE(UsableCpus(), NumCpu());
  EXPECT_EQ(UsableCpus(), CpusWithin(NumCpu(), CgroupCpuLimit("")));
}

#if defined(__linux__)
TEST(NumCpuTest, FollowsTheAffinityMask) {
  // On a thread of its own: a mask is a thread's.
  std::thread([] {
    cpu_set_t allowed;
    ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    EXPECT_EQ(NumCpu(), CPU_COUNT(&allowed));

    int cpu = 0;
    while (!CPU_ISSET(cpu, &allowed)) ++cpu;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    EXPECT_EQ(NumCpu(), 1);
    EXPECT_EQ(UsableCpus(), 1);
    std::thread([] { EXPECT_EQ(NumCpu(), 1); }).join();
  }).join();
}
#endif

TEST(ParseMaxProcsTest, TakesOneToALimit) {
  EXPECT_EQ(ParseMaxProcs("1"), 1);
  EXPECT_EQ(ParseMaxProcs("4"), 4);
  EXPECT_EQ(ParseMaxProcs("007"), 7);
  EXPECT_EQ(ParseMaxProcs("1024"), 1024);
}

TEST(ParseMaxProcsTest, IgnoresAllElse) {
  EXPECT_EQ(ParseMaxProcs(nullptr), 0);
  for (const char* text :
       {"", "0", "-1", "+4", " 4", "4 ", "4x", "four", "1025", "0x4", "1.5",
        "4294967297", "99999999999999999999"}) {
    EXPECT_EQ(ParseMaxProcs(text), 0) << '"' << text << '"';
  }
}

}  // namespace
}  // namespace gochan::runtime
