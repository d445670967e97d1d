// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "test/util/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "test/util/scale.h"

extern char** environ;

namespace gochan::test {
namespace {

constexpr char kFlag[] = "--scenario=";

std::map<std::string, ScenarioFunction>& Scenarios() {
  static auto& scenarios = *new std::map<std::string, ScenarioFunction>();
  return scenarios;
}

int RunScenario(const char* name) {
  // What it writes must not end up in a core file.
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const auto found = Scenarios().find(name);
  if (found == Scenarios().end()) {
    std::fprintf(stderr, "there is no scenario %s\n", name);
    return 99;
  }
  return found->second();
}

void Check(int error, const char* what) {
  if (error != 0) Die(std::string(what) + ": " + std::strerror(error));
}

// Who runs our programs if the processor itself cannot: a program and its
// arguments, from GOCHAN_TEST_EMULATOR; else empty.
std::vector<std::string> Emulator() {
  const char* const text = std::getenv("GOCHAN_TEST_EMULATOR");
  std::istringstream words(text == nullptr ? "" : text);
  return {std::istream_iterator<std::string>(words), {}};
}

std::string ReadLink(const std::string& link) {
  char target[PATH_MAX];
  const ssize_t length = readlink(link.c_str(), target, sizeof(target));
  Check(length >= 0 ? 0 : errno, "readlink");
  return std::string(target, static_cast<std::size_t>(length));
}

// Reads both to their ends, or until the deadline. False: it passed.
bool ReadAll(int out, std::string* out_text, int err, std::string* err_text,
             std::chrono::steady_clock::time_point deadline) {
  pollfd fds[] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  std::string* const texts[] = {out_text, err_text};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    if (poll(fds, std::size(fds), static_cast<int>(left.count())) < 0) {
      if (errno == EINTR) continue;
      Check(errno, "poll");
    }
    for (std::size_t i = 0; i < std::size(fds); ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      char chunk[4096];
      const ssize_t n = read(fds[i].fd, chunk, sizeof(chunk));
      if (n > 0) {
        texts[i]->append(chunk, static_cast<std::size_t>(n));
      } else if (n == 0 || errno != EINTR) {
        fds[i].fd = -1;
      }
    }
  }
  return true;
}

}  // namespace

bool RegisterScenario(const char* name, ScenarioFunction function) {
  return Scenarios().emplace(name, function).second;
}

std::ostream& operator<<(std::ostream& out, const ChildResult& child) {
  return out << "status " << child.status << ", signal " << child.signal
             << "\n--- stdout\n"
             << child.out << "--- stderr\n"
             << child.err << "---\n";
}

ChildResult RunChild(const std::string& scenario, int workers) {
  int out[2];
  int err[2];
  Check(pipe2(out, O_CLOEXEC) == 0 ? 0 : errno, "pipe2");
  Check(pipe2(err, O_CLOEXEC) == 0 ? 0 : errno, "pipe2");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err[1], 2);

  std::string program = "/proc/self/exe";
  std::string flag = kFlag + scenario;
  std::vector<std::string> words = Emulator();
  if (!words.empty()) program = ReadLink(program);
  words.push_back(program);
  words.push_back(flag);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  constexpr char kWorkers[] = "GOCHAN_MAXPROCS=";
  std::string procs = kWorkers + std::to_string(workers);
  std::vector<char*> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, kWorkers, sizeof(kWorkers) - 1) != 0) {
      environment.push_back(*variable);
    }
  }
  if (workers > 0) environment.push_back(procs.data());
  environment.push_back(nullptr);

  pid_t pid;
  Check(posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(),
                    environment.data()),
        "posix_spawn");
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  close(err[1]);

  ChildResult result;
  if (!ReadAll(out[0], &result.out, err[0], &result.err,
               std::chrono::steady_clock::now() + kLimit)) {
    kill(pid, SIGKILL);
  }
  close(out[0]);
  close(err[0]);
  // The emulator's own word on the end of its guest.
  const std::size_t word = result.err.find("qemu: uncaught target signal");
  if (word != std::string::npos) result.err.erase(word);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) Check(errno, "waitpid");
  }
  if (WIFEXITED(status)) result.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

}  // namespace gochan::test

int main(int argc, char** argv) {
  constexpr std::size_t kLength = sizeof(gochan::test::kFlag) - 1;
  if (argc == 2 && std::strncmp(argv[1], gochan::test::kFlag, kLength) == 0) {
    return gochan::test::RunScenario(argv[1] + kLength);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
