// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// run_bash SCRIPT [ARGUMENT...]: becomes bash. A test that is a shell script is
// a cc_test with this main(), as Bazel has no rule for scripts that all its
// versions know.

#include <unistd.h>

#include <cstdio>
#include <vector>

int main(int argc, char** argv) {
  static char bash[] = "bash";
  std::vector<char*> arguments = {bash};
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  arguments.push_back(nullptr);
  execvp(bash, arguments.data());
  std::perror(bash);
  return 1;
}
