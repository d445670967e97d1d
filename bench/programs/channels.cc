// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Workloads: channels.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "bench/programs/workload.h"
#include "chan/chan.h"
#include "go/sync.h"

namespace gochan::bench {

namespace {

// One goroutine sends and receives.
void Sequential(Run& run) {
  const Chan<int64_t> ch = MakeChan<int64_t>(1);
  int64_t sum = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    ch.Send(i);
    sum += ch.Recv().value;
  }
  run.Stop();
  run.CheckSum(sum);
}

// Two goroutines, to and fro.
void PingPong(Run& run) {
  const Chan<int64_t> ping = MakeChan<int64_t>(), pong = MakeChan<int64_t>();
  int64_t sum = 0;
  run.Start();
  Spawn([ping, pong] {
    for (int64_t v : ping) pong.Send(v);
  });
  for (int64_t i = 0; i < run.n(); ++i) {
    ping.Send(i);
    sum += pong.Recv().value;
  }
  ping.Close();
  run.Stop();
  run.CheckSum(sum);
}

// One goroutine sends, another receives.
template <std::ptrdiff_t kCapacity>
void Spsc(Run& run) {
  const Chan<int64_t> ch = MakeChan<int64_t>(kCapacity);
  int64_t sum = 0;
  run.Start();
  Spawn([ch, n = run.n()] {
    for (int64_t i = 0; i < n; ++i) ch.Send(i);
    ch.Close();
  });
  for (int64_t v : ch) sum += v;
  run.Stop();
  run.CheckSum(sum);
}

// kParties goroutines send, as many receive, on one channel.
template <int kParties, std::ptrdiff_t kCapacity>
void Mpmc(Run& run) {
  const Chan<int64_t> ch = MakeChan<int64_t>(kCapacity);
  const Chan<int64_t> sums = MakeChan<int64_t>(kParties);
  WaitGroup senders;
  int64_t sum = 0;
  run.Start();
  for (int k = 0; k < kParties; ++k) {
    Spawn([ch, sums] {
      int64_t mine = 0;
      for (int64_t v : ch) mine += v;
      sums.Send(mine);
    });
  }
  for (int k = 0; k < kParties; ++k) {
    senders.Add(1);
    Spawn([ch, &senders, k, n = run.n()] {
      for (int64_t i = k; i < n; i += kParties) ch.Send(i);
      senders.Done();
    });
  }
  senders.Wait();
  ch.Close();
  for (int k = 0; k < kParties; ++k) sum += sums.Recv().value;
  run.Stop();
  run.CheckSum(sum);
}

// One goroutine sends four values to four receivers that are queued, and waits
// until all have said that they got theirs.
void Burst(Run& run) {
  constexpr int kReceivers = 4;
  const Chan<int64_t> ch = MakeChan<int64_t>();
  const Chan<int64_t> got = MakeChan<int64_t>(kReceivers);
  int64_t sum = 0;
  run.Start();
  for (int k = 0; k < kReceivers; ++k) {
    Spawn([ch, got] {
      for (int64_t v : ch) got.Send(v);
    });
  }
  for (int64_t i = 0; i < run.n();) {
    int sent = 0;
    for (; sent < kReceivers && i < run.n(); ++sent) ch.Send(i++);
    for (; sent > 0; --sent) sum += got.Recv().value;
  }
  ch.Close();
  run.Stop();
  run.CheckSum(sum);
}

// Elements of 64 bytes.
void Payload64(Run& run) {
  struct Block {
    int64_t words[8];
  };
  const Chan<Block> ch = MakeChan<Block>(128);
  int64_t sum = 0;
  run.Start();
  Spawn([ch, n = run.n()] {
    for (int64_t i = 0; i < n; ++i) ch.Send(Block{{i, 0, 0, 0, 0, 0, 0, i}});
    ch.Close();
  });
  for (const Block& block : ch) sum += (block.words[0] + block.words[7]) / 2;
  run.Stop();
  run.CheckSum(sum);
}

// A new string of 32 characters each.
struct Message {
  explicit Message(std::string text) : text(std::move(text)) {}
  Message(Message&&) = default;
  Message& operator=(Message&&) = default;
  std::string text;
};

void PayloadString(Run& run) {
  const Chan<Message> ch = MakeChan<Message>(128);
  int64_t sum = 0;
  run.Start();
  Spawn([ch, n = run.n()] {
    char buffer[32] = {};
    for (int64_t i = 0; i < n; ++i) {
      buffer[0] = static_cast<char>('a' + i % 26);
      ch.Send(Message(std::string(buffer, sizeof(buffer))));
    }
    ch.Close();
  });
  for (Message message : ch) {
    sum += static_cast<int64_t>(message.text.size()) + message.text[0] - 'a';
  }
  run.Stop();
  int64_t expected = 0;
  for (int64_t i = 0; i < run.n(); ++i) expected += 32 + i % 26;
  run.Check(sum == expected, "the strings");
}

// A channel made, used once and dropped.
void MakeDrop(Run& run) {
  int64_t sum = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    const Chan<int64_t> ch = MakeChan<int64_t>(1);
    ch.Send(i);
    sum += ch.Recv().value;
  }
  run.Stop();
  run.CheckSum(sum);
}

// Requests to a server goroutine, each with a reply channel of its own.
void Reply(Run& run) {
  struct Request {
    int64_t value;
    Chan<int64_t> reply;
  };
  const Chan<Request> requests = MakeChan<Request>();
  int64_t sum = 0;
  run.Start();
  Spawn([requests] {
    for (const Request& request : requests) request.reply.Send(request.value);
  });
  for (int64_t i = 0; i < run.n(); ++i) {
    const Chan<int64_t> reply = MakeChan<int64_t>(1);
    requests.Send(Request{i, reply});
    sum += reply.Recv().value;
  }
  requests.Close();
  run.Stop();
  run.CheckSum(sum);
}

constexpr Workload kWorkloads[] = {
    {"seq_1", 5'000'000, &Sequential},
    {"ping_pong", 1'000'000, &PingPong},
    {"spsc_0", 2'000'000, &Spsc<0>},
    {"spsc_1", 2'000'000, &Spsc<1>},
    {"spsc_128", 5'000'000, &Spsc<128>},
    {"spsc_1024", 5'000'000, &Spsc<1024>},
    {"mpmc_4x4_0", 2'000'000, &Mpmc<4, 0>},
    {"mpmc_4x4_128", 5'000'000, &Mpmc<4, 128>},
    {"mpmc_64x64_128", 5'000'000, &Mpmc<64, 128>},
    {"burst_4", 2'000'000, &Burst},
    {"payload_64", 3'000'000, &Payload64},
    {"payload_string", 2'000'000, &PayloadString},
    {"make_drop", 3'000'000, &MakeDrop},
    {"reply", 1'000'000, &Reply},
};

}  // namespace

std::span<const Workload> ChannelWorkloads() { return kWorkloads; }

}  // namespace gochan::bench
