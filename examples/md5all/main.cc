// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// md5all: the MD5 digests of all files below a directory, computed by a bounded
// number of goroutines. The program of "Go Concurrency Patterns: Pipelines and
// cancellation" (S. Ajmani, The Go Blog, 2014), bounded.go, ported line by
// line:
//
//            paths               results
//   walker ----------> digester ---------> collector (the caller of Md5All)
//             |          ...          |
//             +------> digester ------+
//
// Every blocking step is a Select with the context's Done, so that whoever
// cancels it (an error, the return of Md5All, Ctrl-C) ends all goroutines. What
// waits for a disk is called by Blocking(), which lets the others go on.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "examples/md5all/md5.h"
#include "go/go.h"
#include "go/signal.h"
#include "go/time.h"
#include "go/wait_group.h"
#include "select/select.h"

namespace gochan::md5all {
namespace {

// Large enough for a disk, small enough that a cancellation between two of them
// comes soon.
constexpr size_t kChunk = 256 << 10;

// The digest of a file, or the errno that kept us from it.
struct Result {
  std::string path;
  Md5::Digest digest = {};
  int error = 0;
};

// What was done so far, shown while it goes on if somebody sits there.
class Meter {
 public:
  // By digesters.
  void AddBytes(size_t n) { bytes_.fetch_add(n, std::memory_order_relaxed); }

  // By the collector, all that follows.
  void Add(const Result& result) {
    if (result.error == 0) {
      ++files_;
      return;
    }
    ++failed_;
    Clear();
    std::fprintf(stderr, "md5all: %s: %s\n", result.path.c_str(),
                 std::strerror(result.error));
  }

  absl::Time NextShow() const { return next_show_; }
  void Show() {
    std::fprintf(stderr, "\r%" PRIu64 " files, %.1f MB, %.1f MB/s\033[K",
                 files_, static_cast<double>(bytes()) / 1e6, Speed());
    shown_ = true;
    next_show_ = absl::Now() + absl::Milliseconds(100);
  }
  void Clear() {
    if (shown_) std::fputs("\r\033[K", stderr);
    shown_ = false;
  }

  uint64_t files() const { return files_; }
  uint64_t failed() const { return failed_; }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  double Speed() const {  // MB/s
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start_);
    return seconds > 0 ? static_cast<double>(bytes()) / 1e6 / seconds : 0;
  }

 private:
  const absl::Time start_ = absl::Now();
  absl::Time next_show_ =
      isatty(STDERR_FILENO) ? absl::Now() : absl::InfiniteFuture();
  bool shown_ = false;
  uint64_t files_ = 0;
  uint64_t failed_ = 0;
  std::atomic<uint64_t> bytes_{0};
};

// Goroutines that a scope waits for at its end.
struct Crew {
  WaitGroup group;
  ~Crew() { group.Wait(); }
};

// -----------------------------------------------------------------------------
// The walker
// -----------------------------------------------------------------------------

enum class Kind { kFile, kDirectory, kOther };

// Symbolic links are not followed: they are kOther.
Kind KindOf(const struct stat& status) {
  if (S_ISREG(status.st_mode)) return Kind::kFile;
  if (S_ISDIR(status.st_mode)) return Kind::kDirectory;
  return Kind::kOther;
}

struct Entry {
  std::string path;
  Kind kind;
  int error = 0;  // why the kind is not known
};

// Appends what is in the directory. Returns the errno that kept us from the
// rest, or 0.
int ReadDirectory(const std::string& directory, std::vector<Entry>& entries) {
  // One trip for all of it. A goroutine may be on another thread afterwards, so
  // errno is looked at inside.
  return Blocking([&] {
    DIR* const stream = opendir(directory.c_str());
    if (stream == nullptr) return errno;
    std::string prefix = directory;
    if (prefix.back() != '/') prefix += '/';
    for (;;) {
      errno = 0;
      const dirent* const found = readdir(stream);
      if (found == nullptr) break;
      if (std::strcmp(found->d_name, ".") == 0 ||
          std::strcmp(found->d_name, "..") == 0) {
        continue;
      }
      Entry entry{prefix + found->d_name, Kind::kOther};
      struct stat status;
      if (found->d_type == DT_REG) {
        entry.kind = Kind::kFile;
      } else if (found->d_type == DT_DIR) {
        entry.kind = Kind::kDirectory;
      } else if (found->d_type == DT_UNKNOWN) {
        if (lstat(entry.path.c_str(), &status) != 0) {
          entry.error = errno;
        } else {
          entry.kind = KindOf(status);
        }
      }
      entries.push_back(std::move(entry));
    }
    const int error = errno;
    closedir(stream);
    return error;
  });
}

// Sends the paths of all regular files at and below `root`. A directory that
// cannot be read is a result of its own; a root that is not there is an error.
absl::Status WalkFiles(const Context& ctx, const std::string& root,
                       SendChan<std::string> paths, SendChan<Result> results) {
  std::vector<std::string> directories;

  // False: cancelled.
  auto visit = [&](std::string path, Kind kind) {
    if (kind == Kind::kDirectory) directories.push_back(std::move(path));
    if (kind != Kind::kFile) return true;
    return Select(SendCase(paths, std::move(path)), DoneCase(ctx)) == 0;
  };
  auto report = [&](std::string path, int error) {
    return Select(SendCase(results, Result{std::move(path), {}, error}),
                  DoneCase(ctx)) == 0;
  };

  struct stat status;
  const int missing =
      Blocking([&] { return lstat(root.c_str(), &status) == 0 ? 0 : errno; });
  if (missing != 0) return absl::ErrnoToStatus(missing, root);
  const Kind kind = KindOf(status);
  if (kind == Kind::kOther) {
    return absl::InvalidArgumentError(
        root + ": neither a regular file nor a directory");
  }
  if (!visit(root, kind)) return ctx.Err();

  std::vector<Entry> entries;
  while (!directories.empty()) {
    if (!ctx.Err().ok()) return ctx.Err();
    std::string directory = std::move(directories.back());
    directories.pop_back();
    entries.clear();
    const int error = ReadDirectory(directory, entries);
    for (Entry& entry : entries) {
      if (entry.error != 0 ? !report(std::move(entry.path), entry.error)
                           : !visit(std::move(entry.path), entry.kind)) {
        return ctx.Err();
      }
    }
    if (error != 0 && !report(std::move(directory), error)) return ctx.Err();
  }
  return absl::OkStatus();
}

// -----------------------------------------------------------------------------
// The digesters
// -----------------------------------------------------------------------------

// Reads what fits into `chunk`. Returns the number of bytes, 0 at the end, or
// -errno. Only inside Blocking().
ssize_t Read(int fd, std::vector<uint8_t>& chunk) {
  for (;;) {
    const ssize_t n = read(fd, chunk.data(), chunk.size());
    if (n >= 0) return n;
    if (errno != EINTR) return -errno;
  }
}

Result DigestFile(const Context& ctx, std::string path,
                  std::vector<uint8_t>& chunk, Meter& meter) {
  Result result{std::move(path)};
  // It was a regular file when the walker came by; a pipe that has taken its
  // place must not hold us up.
  int fd = -1;
  ssize_t n = Blocking([&]() -> ssize_t {
    fd = open(result.path.c_str(),
              O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? -errno : Read(fd, chunk);
  });
  Md5 md5;
  while (n > 0) {
    md5.Update(chunk.data(), static_cast<size_t>(n));
    meter.AddBytes(static_cast<size_t>(n));
    if (!ctx.Err().ok()) {
      n = -ECANCELED;  // nobody will receive it
      break;
    }
    n = Blocking([&] { return Read(fd, chunk); });
  }
  if (fd >= 0) close(fd);
  if (n < 0) result.error = static_cast<int>(-n);
  result.digest = md5.Finish();
  return result;
}

// Sends the result for each path until there are no more.
void Digester(const Context& ctx, RecvChan<std::string> paths,
              SendChan<Result> results, Meter& meter) {
  std::vector<uint8_t> chunk(kChunk);
  for (;;) {
    std::string path;
    bool ok;
    if (Select(RecvCase(paths, &path, &ok), DoneCase(ctx)) != 0 || !ok) return;
    Result result = DigestFile(ctx, std::move(path), chunk, meter);
    if (Select(SendCase(results, std::move(result)), DoneCase(ctx)) != 0) {
      return;
    }
  }
}

// -----------------------------------------------------------------------------
// The collector
// -----------------------------------------------------------------------------

// The digests of all files at and below `root`, in no order. Leaves no
// goroutine behind, whatever it returns.
absl::StatusOr<std::vector<Result>> Md5All(const Context& parent,
                                           const std::string& root,
                                           int digesters, Meter& meter) {
  // Destroyed last: `cancel` ends the goroutines, then this waits for them.
  WaitGroup working;
  Crew crew;
  auto [ctx, cancel] = WithCancel(parent);

  const Chan<std::string> paths = MakeChan<std::string>();
  const Chan<Result> results = MakeChan<Result>();
  const Chan<absl::Status> walk_error = MakeChan<absl::Status>(1);

  crew.group.Go([ctx = ctx, root, paths, results, walk_error] {
    walk_error.Send(WalkFiles(ctx, root, paths, results));
    paths.Close();
  });
  for (int i = 0; i < digesters; ++i) {
    working.Go([ctx = ctx, paths, results, &meter] {
      Digester(ctx, paths, results, meter);
    });
  }
  crew.group.Go([&working, results] {
    working.Wait();
    results.Close();
  });

  std::vector<Result> all;
  for (;;) {
    Result result;
    bool ok;
    switch (Select(RecvCase(results, &result, &ok), DoneCase(ctx),
                   DeadlineCase(meter.NextShow()))) {
      case 0:
        if (!ok) {
          absl::Status walked = walk_error.Recv().value;
          if (!walked.ok()) return walked;
          return all;
        }
        meter.Add(result);
        if (result.error == 0) all.push_back(std::move(result));
        break;
      case 1:
        return ctx.Err();
      default:
        meter.Show();
    }
  }
}

// -----------------------------------------------------------------------------
// The program
// -----------------------------------------------------------------------------

// As md5sum prints it: a line with an escaped name begins with a backslash.
void AppendLine(const Result& result, std::string& out) {
  std::string name;
  for (const char c : result.path) {
    switch (c) {
      case '\\':
        name += "\\\\";
        break;
      case '\n':
        name += "\\n";
        break;
      case '\r':
        name += "\\r";
        break;
      default:
        name += c;
    }
  }
  if (name.size() != result.path.size()) out += '\\';
  out += ToHex(result.digest);
  out += "  ";
  out += name;
  out += '\n';
}

// How many goroutines there are beside main's. One that has done its work is
// counted until it has left its last function.
int GoroutinesLeft() {
  for (int i = 0; i < 100 && NumGoroutine() > 1; ++i) {
    Sleep(absl::Milliseconds(1));
  }
  return NumGoroutine() - 1;
}

constexpr char kUsage[] =
    "usage: md5all [-j N] PATH\n"
    "\n"
    "Prints the MD5 digests of PATH, or of all regular files below it, as "
    "md5sum\n"
    "does, sorted by name. Symbolic links are not followed.\n"
    "\n"
    "  -j N     digest N files at a time (default: one per processor)\n"
    "  --help   print this and exit\n"
    "\n"
    "Exit status: 0, or 1 if something could not be read, 2 for wrong usage,\n"
    "130 after Ctrl-C.\n";

constexpr int kMaxDigesters = 1024;

int Main(int argc, char** argv) {
  int digesters = std::clamp(SetMaxProcs(0), 1, kMaxDigesters);
  static constexpr option kOptions[] = {{"help", no_argument, nullptr, 'h'},
                                        {nullptr, 0, nullptr, 0}};
  for (int c; (c = getopt_long(argc, argv, "j:", kOptions, nullptr)) != -1;) {
    switch (c) {
      case 'j': {
        const char* const end = optarg + std::strlen(optarg);
        const auto [stop, error] = std::from_chars(optarg, end, digesters);
        if (error != std::errc() || stop != end || digesters < 1 ||
            digesters > kMaxDigesters) {
          std::fprintf(stderr, "md5all: -j wants a number from 1 to %d\n",
                       kMaxDigesters);
          return 2;
        }
        break;
      }
      case 'h':
        std::fputs(kUsage, stdout);
        return std::fflush(stdout) == 0 ? 0 : 1;
      default:
        std::fputs(kUsage, stderr);
        return 2;
    }
  }
  if (optind + 1 != argc || argv[optind][0] == '\0') {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const std::string root = argv[optind];

  Meter meter;
  absl::StatusOr<std::vector<Result>> results;
  bool interrupted;
  {
    auto [ctx, stop] = NotifyContext(Background(), {SIGINT});
    results = Md5All(ctx, root, digesters, meter);
    interrupted = !ctx.Err().ok();
    // From here on Ctrl-C ends the program as it always did.
  }
  meter.Clear();
  const double speed = meter.Speed();

  int status = meter.failed() == 0 ? 0 : 1;
  if (results.ok()) {
    std::sort(results->begin(), results->end(),
              [](const Result& a, const Result& b) { return a.path < b.path; });
    std::string out;
    for (const Result& result : *results) AppendLine(result, out);
    std::fwrite(out.data(), 1, out.size(), stdout);
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
      std::fprintf(stderr, "md5all: standard output: %s\n",
                   std::strerror(errno));
      status = 1;
    }
  } else if (interrupted) {
    std::fputs("md5all: interrupted\n", stderr);
    status = 128 + SIGINT;
  } else {
    std::fprintf(stderr, "md5all: %s\n",
                 std::string(results.status().message()).c_str());
    status = 1;
  }
  std::fprintf(stderr,
               "md5all: %" PRIu64 " files, %" PRIu64
               " bytes, %.1f MB/s, %" PRIu64 " failed, %d goroutines left\n",
               meter.files(), meter.bytes(), speed, meter.failed(),
               GoroutinesLeft());
  return status;
}

}  // namespace
}  // namespace gochan::md5all

int main(int argc, char** argv) {
  return gochan::RunMain([=] { return gochan::md5all::Main(argc, argv); });
}
