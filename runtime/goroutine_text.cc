// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/goroutine_text.h"

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "runtime/source_location.h"

namespace gochan::runtime {

namespace {

// -----------------------------------------------------------------------------
// Text
// -----------------------------------------------------------------------------

// A text that is printed in one piece, and cut where it is too long.
class Text {
 public:
  Text& Add(std::string_view text) {
    for (const char c : text) {
      if (length_ < sizeof(text_)) text_[length_++] = c;
    }
    return *this;
  }
  Text& Add(uint64_t value) {
    char digits[20];
    std::size_t n = sizeof(digits);
    do {
      digits[--n] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    return Add({digits + n, sizeof(digits) - n});
  }
  Text& AddFunction(const char* function) {
    char name[512];
    return Add({name, ShortFunction(function, name, sizeof(name))});
  }
  Text& AddLabels(const Labels& labels) {
    FormatLabels(
        labels,
        [](void* self, std::string_view text) {
          static_cast<Text*>(self)->Add(text);
        },
        this);
    return *this;
  }
  void Print(int fd) const {
    for (std::size_t done = 0; done < length_;) {
      const ssize_t n = write(fd, text_ + done, length_ - done);
      if (n > 0) {
        done += static_cast<std::size_t>(n);
      } else if (n == 0 || errno != EINTR) {
        return;
      }
    }
  }

 private:
  char text_[2048];
  std::size_t length_ = 0;
};

// -----------------------------------------------------------------------------
// Functions' names
// -----------------------------------------------------------------------------

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '_' || c == '$';
}

// Reads a compiler's name of a function from left to right.
class NameReader {
 public:
  NameReader(std::string_view in, char* out, std::size_t room)
      : in_(in), out_(out), room_(room) {}

  std::size_t Read() {
    while (at_ < in_.size()) Step();
    out_[length_] = '\0';
    return length_;
  }

 private:
  bool Next(std::string_view text) const {
    return in_.substr(at_).starts_with(text);
  }
  bool So(std::string_view text) const {
    return std::string_view(out_, length_).ends_with(text);
  }
  // Behind the word "operator".
  bool AtOperator() const {
    constexpr std::string_view kWord = "operator";
    return So(kWord) && (length_ == kWord.size() ||
                         !IsWord(out_[length_ - kWord.size() - 1]));
  }

  void Put(std::string_view text) {
    for (const char c : text) {
      if (length_ + 1 < room_) out_[length_++] = c;
    }
  }
  void Copy(std::size_t n) {
    Put(in_.substr(at_, n));
    at_ += n;
  }
  // Past the bracket that closes the one here.
  void Skip(char open, char close) {
    int depth = 0;
    while (at_ < in_.size()) {
      const char c = in_[at_++];
      if (c == open) ++depth;
      if (c == close && --depth == 0) return;
    }
  }
  // Template arguments, as they are.
  void CopyArguments() {
    int depth = 0;
    while (at_ < in_.size()) {
      if (Next("->")) {
        Copy(2);
        continue;
      }
      const char c = in_[at_];
      Copy(1);
      if (c == '<') ++depth;
      if (c == '>' && --depth == 0) return;
    }
  }
  // " const", " mutable", ... until what is inside of the function.
  bool SkipQualifiers() {
    for (const std::string_view word :
         {" const", " volatile", " mutable", " noexcept", " requires", " &",
          " ->", " ["}) {
      if (!Next(word)) continue;
      while (at_ < in_.size() && !Next("::")) {
        if (in_[at_] == '[') {
          Skip('[', ']');
        } else {
          ++at_;
        }
      }
      return true;
    }
    return false;
  }

  void Step() {
    const char c = in_[at_];
    if (Next("<lambda(")) {
      Put("<lambda>");
      at_ += 7;
      Skip('(', ')');
      while (at_ < in_.size() && in_[at_++] != '>') {
      }
    } else if (AtOperator() && !IsWord(c)) {
      // operator(), operator<<, operator new, operator bool
      Copy(c == '(' ? 2 : 1);
      while (at_ < in_.size() && in_[at_] != '(') Copy(1);
    } else if (c == '<') {
      CopyArguments();
    } else if (c == '(' && Next("(anonymous")) {
      while (at_ < in_.size() && in_[at_] != ')') Copy(1);
      if (at_ < in_.size()) Copy(1);
    } else if (c == '(') {
      Skip('(', ')');
      Put("()");
    } else if (c == '[') {
      Skip('[', ']');
    } else if (c == ' ') {
      if (length_ != 0 && (So(")") || So("<lambda>")) && SkipQualifiers()) {
        return;
      }
      length_ = 0;  // it was the type of the result
      ++at_;
      while (at_ < in_.size() && (in_[at_] == '*' || in_[at_] == '&')) ++at_;
    } else {
      Copy(1);
    }
  }

  const std::string_view in_;
  std::size_t at_ = 0;
  char* const out_;
  const std::size_t room_;
  std::size_t length_ = 0;
};

}  // namespace

namespace {

// `from`, which is the longer one, becomes `to` everywhere in the text; returns
// its length.
std::size_t Replace(char* text, std::string_view from, std::string_view to) {
  char* write = text;
  for (const char* read = text; *read != '\0';) {
    if (std::strncmp(read, from.data(), from.size()) == 0) {
      read += from.size();
      std::memcpy(write, to.data(), to.size());
      write += to.size();
    } else {
      *write++ = *read++;
    }
  }
  *write = '\0';
  return static_cast<std::size_t>(write - text);
}

}  // namespace

std::size_t ShortFunction(const char* function, char* out, std::size_t room) {
  if (room == 0) return 0;
  NameReader(function == nullptr ? "" : function, out, room).Read();
  // What Clang calls otherwise than GCC.
  Replace(out, "(anonymous class)::operator()()", "<lambda>");
  return Replace(out, "(anonymous namespace)", "{anonymous}");
}

// -----------------------------------------------------------------------------
// Labels
// -----------------------------------------------------------------------------

namespace {

bool IsPlain(char c) {
  return IsWord(c) ||
         std::string_view("-./:+@%=~").find(c) != std::string_view::npos;
}

}  // namespace

void FormatLabels(const Labels& labels,
                  void (*put)(void* out, std::string_view text), void* out) {
  const auto put_text = [&](std::string_view text) {
    bool plain = !text.empty();
    for (const char c : text) plain = plain && IsPlain(c);
    if (plain) return put(out, text);
    put(out, "\"");
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      if (c == '"' || c == '\\') {
        put(out, "\\");
        put(out, text.substr(i, 1));
      } else if (c < ' ' || c == 0x7f) {
        constexpr std::string_view kHex = "0123456789abcdef";
        put(out, "\\x");
        put(out, kHex.substr(c >> 4, 1));
        put(out, kHex.substr(c & 15, 1));
      } else {
        put(out, text.substr(i, 1));
      }
    }
    put(out, "\"");
  };
  put(out, "{");
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (i != 0) put(out, ", ");
    put_text(labels[i].first);
    put(out, ": ");
    put_text(labels[i].second);
  }
  put(out, "}");
}

// -----------------------------------------------------------------------------
// Reports
// -----------------------------------------------------------------------------

void PrintGoroutine(int fd, const Task& task, const char* state) {
  // Relaxed, all: the goroutine's own.
  Text text;
  text.Add("goroutine ").Add(task.id.load(std::memory_order_relaxed));
  text.Add(" [").Add(state).Add("]");
  const GoroutineOptions* const options = task.options;
  if (options != nullptr && !options->name.empty()) {
    // As much as leaves room for the rest.
    const std::string_view name = options->name;
    text.Add(" \"").Add(name.substr(0, 256)).Add("\"");
  }
  if (options != nullptr && options->labels != nullptr) {
    text.Add(" ").AddLabels(*options->labels);
  }
  const SourceLocation site = task.site.Load();
  text.Add(":\ncreated by ").AddFunction(site.function_name());
  const uint64_t creator = task.creator.load(std::memory_order_relaxed);
  if (creator != 0) text.Add(" in goroutine ").Add(creator);
  text.Add("\n\t").Add(site.file_name()).Add(":");
  text.Add(uint64_t{site.line()}).Add("\n");
  text.Print(fd);
}

void PrintOverflowed(int fd, const Stack& stack) {
  const Goroutine* const g = CurrentGoroutine();
  if (g == nullptr || g != GoroutineOn(stack) || g->task == nullptr) return;
  PrintGoroutine(fd, *g->task, "running");
}

}  // namespace gochan::runtime
