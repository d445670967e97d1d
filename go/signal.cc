// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/signal.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "chan/chan.h"
#include "chan/panic.h"
#include "ctx/context.h"
#include "ctx/internal/node.h"
#include "runtime/scheduler.h"

namespace gochan {

namespace {

// The kernel's signals are 1..64; number n is bit n - 1.
constexpr int kSignals = 64;
using SignalSet = uint64_t;

constexpr SignalSet BitOf(int signal) { return SignalSet{1} << (signal - 1); }

// The signals of a list, or all if it is empty. What is no signal is left out.
SignalSet SetOf(std::initializer_list<int> signals) {
  if (signals.size() == 0) return ~SignalSet{0};
  SignalSet set = 0;
  for (const int signal : signals) {
    if (signal >= 1 && signal <= kSignals) set |= BitOf(signal);
  }
  return set;
}

// -----------------------------------------------------------------------------
// In signal context
// -----------------------------------------------------------------------------

// What the handler may touch: lock-free atomics, a semaphore, and the earlier
// dispositions, which are constant while it is installed. These are std::atomic
// and not runtime::Atomic, whose hook would run in signal context.
//
// arrived: bit set by the handler, cleared by whoever sends (under the mutex).
// handlers: how many threads are in the handler, so that StopNotify() can wait
// for those that are about to set a bit.
static_assert(std::atomic<SignalSet>::is_always_lock_free);
constinit std::atomic<SignalSet> arrived{0};
constinit std::atomic<int> handlers{0};
sem_t something_arrived;  // sem_post is async-signal-safe, a futex table is not
struct sigaction earlier[kSignals + 1];

// Whether the processor raised it: whoever returns from the handler would only
// run into it again.
bool IsFault(int signal, const siginfo_t* info) {
  switch (signal) {
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGSEGV:
    case SIGSYS:
    case SIGTRAP:
      return info->si_code > 0;
    default:
      return false;
  }
}

void PassFaultOn(int signal, siginfo_t* info, void* context) {
  const struct sigaction& before = earlier[signal];
  if ((before.sa_flags & SA_SIGINFO) != 0) {
    before.sa_sigaction(signal, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
  } else {
    // The instruction is repeated and ends the program as it should, with the
    // fault's own address in the core; but some have been passed by now.
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    sigaction(signal, &action, nullptr);
    if (signal == SIGTRAP || signal == SIGSYS) raise(signal);
  }
}

void Handle(int signal, siginfo_t* info, void* context) {
  if (IsFault(signal, info)) {
    PassFaultOn(signal, info, context);
    return;
  }
  const int saved_errno = errno;
  // seq_cst, all: once per signal, and the cost of one is a system call anyway.
  handlers.fetch_add(1);
  const SignalSet bit = BitOf(signal);
  if ((arrived.fetch_or(bit) & bit) == 0) sem_post(&something_arrived);
  handlers.fetch_sub(1);
  errno = saved_errno;
}

// -----------------------------------------------------------------------------
// Who wants what
// -----------------------------------------------------------------------------

// As Go's on Linux, which are not quite strsignal()'s.
std::string NameOf(int signal) {
  switch (signal) {
    case SIGHUP:
      return "hangup";
    case SIGINT:
      return "interrupt";
    case SIGQUIT:
      return "quit";
    case SIGILL:
      return "illegal instruction";
    case SIGTRAP:
      return "trace/breakpoint trap";
    case SIGABRT:
      return "aborted";
    case SIGBUS:
      return "bus error";
    case SIGFPE:
      return "floating point exception";
    case SIGKILL:
      return "killed";
    case SIGUSR1:
      return "user defined signal 1";
    case SIGSEGV:
      return "segmentation fault";
    case SIGUSR2:
      return "user defined signal 2";
    case SIGPIPE:
      return "broken pipe";
    case SIGALRM:
      return "alarm clock";
    case SIGTERM:
      return "terminated";
#if defined(SIGSTKFLT)
    case SIGSTKFLT:
      return "stack fault";
#endif
    case SIGCHLD:
      return "child exited";
    case SIGCONT:
      return "continued";
    case SIGSTOP:
      return "stopped (signal)";
    case SIGTSTP:
      return "stopped";
    case SIGTTIN:
      return "stopped (tty input)";
    case SIGTTOU:
      return "stopped (tty output)";
    case SIGURG:
      return "urgent I/O condition";
    case SIGXCPU:
      return "CPU time limit exceeded";
    case SIGXFSZ:
      return "file size limit exceeded";
    case SIGVTALRM:
      return "virtual timer expired";
    case SIGPROF:
      return "profiling timer expired";
    case SIGWINCH:
      return "window changed";
    case SIGIO:
      return "I/O possible";
#if defined(SIGPWR)
    case SIGPWR:
      return "power failure";
#endif
    case SIGSYS:
      return "bad system call";
    default:
      return "signal " + std::to_string(signal);
  }
}

absl::Status CauseOf(int signal) {
  return absl::CancelledError(NameOf(signal) + " signal received");
}

// What NotifyContext() gives: a context with a cancellation of its own that
// prints as Go's. The value is nobody's but its own.
class SignalNode final : public internal::ValueNode {
 public:
  SignalNode(internal::ContextNode& parent, std::vector<int> signals)
      : ValueNode(parent, this, this), signals_(std::move(signals)) {
    HoldParent();
  }

  void Print(std::string* text) const override {
    constexpr std::string_view kEnd = ".WithCancel";
    text->resize(text->size() - kEnd.size());
    text->insert(0, "signal.NotifyContext(");
    const char* before = ", [";
    for (const int signal : signals_) {
      *text += before + NameOf(signal);
      before = " ";
    }
    *text += signals_.empty() ? ")" : "])";
  }

 private:
  const std::vector<int> signals_;
};

// Either a channel, or a context to cancel, or a function to call.
struct Listener {
  SignalSet wants;
  SendChan<int> ch;
  std::shared_ptr<const CancelCauseFunc> cancel;
  void (*fn)(int signal) = nullptr;

  bool IsFor(const SendChan<int>& channel) const {
    return cancel == nullptr && fn == nullptr && ch == channel;
  }
};

// Contexts are cancelled, and functions called, when the mutex has been
// released: they may call us.
class Calls {
 public:
  void Add(const Listener& listener, int signal) {
    list_.push_back({listener.cancel, listener.fn, signal});
  }
  void Run() {
    for (const Call& call : list_) {
      if (call.cancel != nullptr) {
        (*call.cancel)(CauseOf(call.signal));
      } else {
        call.fn(call.signal);
      }
    }
  }

 private:
  struct Call {
    std::shared_ptr<const CancelCauseFunc> cancel;
    void (*fn)(int signal);
    int signal;
  };
  std::vector<Call> list_;
};

// A mutex serves here: no channel operation goes through it, and what is done
// under it neither blocks nor calls back.
class Registry {
 public:
  // Never destroyed: its thread runs until the process is gone.
  static Registry& Get() {
    static Registry& registry = *new Registry;
    return registry;
  }

  void Listen(const SendChan<int>& ch, SignalSet wants) {
    std::lock_guard<std::mutex> lock(mutex_);
    StartThread();
    for (Listener& listener : listeners_) {
      if (listener.IsFor(ch)) {
        listener.wants |= wants;
        Catch(wants);
        return;
      }
    }
    listeners_.push_back({wants, ch, nullptr, nullptr});
    TellRuntime();
    Catch(wants);
  }

  void Listen(std::shared_ptr<const CancelCauseFunc> cancel, SignalSet wants) {
    std::lock_guard<std::mutex> lock(mutex_);
    StartThread();
    listeners_.push_back({wants, nullptr, std::move(cancel), nullptr});
    TellRuntime();
    Catch(wants);
  }

  void Listen(void (*fn)(int signal), SignalSet wants) {
    std::lock_guard<std::mutex> lock(mutex_);
    StartThread();
    std::erase_if(listeners_, [wants](Listener& listener) {
      if (listener.fn != nullptr) listener.wants &= ~wants;
      return listener.fn != nullptr && listener.wants == 0;
    });
    listeners_.push_back({wants, nullptr, nullptr, fn});
    TellRuntime();
    Catch(wants);
  }

  template <typename Predicate>
  void StopListening(Predicate is_it) {
    Calls calls;
    std::vector<Listener> gone;  // destroyed without the mutex
    {
      std::lock_guard<std::mutex> lock(mutex_);
      SignalSet wanted_by_others = 0;
      SignalSet wanted = 0;
      for (const Listener& listener : listeners_) {
        (is_it(listener) ? wanted : wanted_by_others) |= listener.wants;
      }
      Restore(wanted & ~wanted_by_others, kCaught);
      // What has arrived is sent while the listener still is there.
      while (handlers.load() != 0) sched_yield();
      SendArrived(calls);
      for (size_t i = 0; i < listeners_.size();) {
        if (is_it(listeners_[i])) {
          gone.push_back(std::move(listeners_[i]));
          listeners_.erase(listeners_.begin() + static_cast<ptrdiff_t>(i));
        } else {
          ++i;
        }
      }
      TellRuntime();
    }
    calls.Run();
  }

  // Nobody wants `set` any more; ignore it, or restore what was before.
  void Cancel(SignalSet set, bool ignore) {
    Calls calls;
    std::vector<Listener> gone;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (ignore) {
        Ignore(set);
      } else {
        Restore(set, kCaught);
        Restore(set, kIgnored);
      }
      while (handlers.load() != 0) sched_yield();
      SendArrived(calls);
      for (size_t i = 0; i < listeners_.size();) {
        listeners_[i].wants &= ~set;
        if (listeners_[i].wants == 0 && listeners_[i].cancel == nullptr) {
          gone.push_back(std::move(listeners_[i]));
          listeners_.erase(listeners_.begin() + static_cast<ptrdiff_t>(i));
        } else {
          ++i;
        }
      }
      TellRuntime();
    }
    calls.Run();
  }

 private:
  // What we have done to a signal's disposition.
  //   state       set by        next                  earlier[signal]
  //   kUntouched  Restore       kCaught | kIgnored    free
  //   kCaught     Catch         kUntouched | kIgnored what it was before us
  //   kIgnored    Ignore        kUntouched | kCaught  what it was before us
  enum Disposition : uint8_t { kUntouched, kCaught, kIgnored };

  Registry() = default;

  void Catch(SignalSet set) {
    struct sigaction action = {};
    action.sa_sigaction = &Handle;
    // ONSTACK as in Go: a goroutine's stack may be too small for a handler.
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    Change(set, kCaught, action);
  }

  void Ignore(SignalSet set) {
    struct sigaction action = {};
    action.sa_handler = SIG_IGN;
    sigemptyset(&action.sa_mask);
    Change(set, kIgnored, action);
  }

  void Change(SignalSet set, Disposition to, const struct sigaction& action) {
    for (int signal = 1; signal <= kSignals; ++signal) {
      if ((set & BitOf(signal)) == 0 || dispositions_[signal] == to) continue;
      // Two steps, because the handler may run before sigaction returns. Fails
      // for the C library's own signals; the second also for SIGKILL, SIGSTOP.
      if (dispositions_[signal] == kUntouched &&
          sigaction(signal, nullptr, &earlier[signal]) != 0) {
        continue;
      }
      if (sigaction(signal, &action, nullptr) == 0) dispositions_[signal] = to;
    }
  }

  void Restore(SignalSet set, Disposition from) {
    for (int signal = 1; signal <= kSignals; ++signal) {
      if ((set & BitOf(signal)) == 0 || dispositions_[signal] != from) continue;
      sigaction(signal, &earlier[signal], nullptr);
      dispositions_[signal] = kUntouched;
    }
  }

  void SendArrived(Calls& calls) {
    const SignalSet set = arrived.exchange(0);
    for (int signal = 1; set != 0 && signal <= kSignals; ++signal) {
      if ((set & BitOf(signal)) == 0) continue;
      for (const Listener& listener : listeners_) {
        if ((listener.wants & BitOf(signal)) == 0) continue;
        if (listener.cancel != nullptr || listener.fn != nullptr) {
          calls.Add(listener, signal);
        } else {
          (void)listener.ch.TrySend(signal);  // full: missed
        }
      }
    }
  }

  // As long as nobody can be woken by a signal, our thread does not stand in
  // the way of a deadlock.
  void TellRuntime() {
    if (!started_) return;
    const bool quiet =
        !calling_ &&
        std::all_of(listeners_.begin(), listeners_.end(),
                    [](const Listener& l) { return l.fn != nullptr; });
    runtime::SetQuietThread(thread_id_.load(), quiet);
  }

  // Returns once it runs.
  void StartThread() {
    if (started_) return;
    started_ = true;
    sem_init(&something_arrived, 0, 0);
    // It must not be the one that is interrupted.
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_t thread;
    const int error = pthread_create(
        &thread, nullptr,
        [](void* self) -> void* {
          static_cast<Registry*>(self)->Run();
          return nullptr;
        },
        this);
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    if (error != 0) {
      std::fputs("gochan: cannot create the signal thread\n", stderr);
      std::abort();
    }
#if defined(__linux__)
    pthread_setname_np(thread, "gochan-signals");
#endif
    pthread_detach(thread);
    while (thread_id_.load() == 0) sched_yield();
  }

  [[noreturn]] void Run() {
#if defined(__linux__)
    thread_id_.store(static_cast<int32_t>(syscall(SYS_gettid)));
#else
    thread_id_.store(-1);  // which no thread has
#endif
    for (;;) {
      while (sem_wait(&something_arrived) != 0) {
      }
      {
        // What a cancellation runs of the user's would keep up other signals.
        const internal::Burial burial(internal::Burial::Where::kBeside);
        Calls calls;
        {
          std::lock_guard<std::mutex> lock(mutex_);
          calling_ = true;
          TellRuntime();
          SendArrived(calls);
        }
        calls.Run();
      }
      std::lock_guard<std::mutex> lock(mutex_);
      calling_ = false;
      TellRuntime();
    }
  }

  // The kernel's number of our thread; 0: it does not run yet. Written by it,
  // once. seq_cst: rare.
  std::atomic<int32_t> thread_id_{0};

  std::mutex mutex_;
  // All of this under mutex_; listeners_ in the order of their first call.
  bool started_ = false;
  bool calling_ = false;  // our thread sends, or is in a call
  Disposition dispositions_[kSignals + 1] = {};
  std::vector<Listener> listeners_;
};

}  // namespace

void Notify(SendChan<int> ch, std::initializer_list<int> signals) {
  if (ch.IsNil()) RaisePanic("os/signal: Notify using nil channel");
  Registry::Get().Listen(ch, SetOf(signals));
}

void StopNotify(SendChan<int> ch) {
  Registry::Get().StopListening(
      [&](const Listener& listener) { return listener.IsFor(ch); });
}

void IgnoreSignals(std::initializer_list<int> signals) {
  Registry::Get().Cancel(SetOf(signals), /*ignore=*/true);
}

void ResetSignals(std::initializer_list<int> signals) {
  Registry::Get().Cancel(SetOf(signals), /*ignore=*/false);
}

std::pair<Context, CancelFunc> NotifyContext(
    Context parent, std::initializer_list<int> signals) {
  auto [ctx, cancel_cause] = WithCancelCause(parent);
  auto cancel =
      std::make_shared<const CancelCauseFunc>(std::move(cancel_cause));
  internal::ContextNode* const node =
      new SignalNode(*internal::ContextAccess::Node(ctx), signals);
  Context named = internal::ContextAccess::Make(node);
  Registry::Get().Listen(cancel, SetOf(signals));
  return {std::move(named), CancelFunc([cancel = std::move(cancel)] {
            (*cancel)(absl::OkStatus());
            Registry::Get().StopListening([&](const Listener& listener) {
              return listener.cancel == cancel;
            });
          })};
}

namespace internal {

void CallOnSignal(int signal, void (*fn)(int signal)) {
  Registry::Get().Listen(fn, SetOf({signal}));
}

}  // namespace internal
}  // namespace gochan
