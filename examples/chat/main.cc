// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// chat: a chat room with 200 guests who come, talk and go as they like; main.go
// is the same program in Go.
//
//   guest --join, leave, say--> room --messages--> every guest who is there
//
// The room is one goroutine that owns the list of guests, so nothing is locked.
// It numbers what is said. Its first message to a guest tells the number of the
// next, and so does its last, so the guest can see that it has missed nothing.

#include <cstdio>
#include <map>

#include "chan/chan.h"
#include "go/go.h"
#include "go/sync.h"
#include "select/select.h"

namespace {

using namespace gochan;

constexpr int kGuests = 200;
constexpr int kSentences = 5;  // by each guest

constexpr int kRoom = -1;  // speaks as well

struct Message {
  int number;  // of this one; from the room: of the next
  int speaker;
};

struct Guest {
  int id;
  Chan<Message> inbox;
};

struct Room {
  Chan<Guest> join = MakeChan<Guest>();
  Chan<int> leave = MakeChan<int>();
  Chan<int> say = MakeChan<int>();
};

// Runs the room until the last guest has gone; then sends how much was said.
void RunRoom(Room room, Chan<int> said) {
  std::map<int, Chan<Message>> guests;
  int next = 0;
  for (int gone = 0; gone < kGuests;) {
    Select(RecvCase(room.join,
                    [&](Guest guest) {
                      guests[guest.id] = guest.inbox;
                      guest.inbox.Send({next, kRoom});
                    }),
           RecvCase(room.leave,
                    [&](int id) {
                      guests[id].Send({next, kRoom});
                      guests[id].Close();
                      guests.erase(id);
                      ++gone;
                    }),
           RecvCase(room.say, [&](int speaker) {
             for (auto& [id, inbox] : guests) inbox.Send({next, speaker});
             ++next;
           }));
  }
  said.Send(next);
}

// Comes, says all its sentences, each after it has heard the one before, and
// goes. Returns whether it heard exactly what was said meanwhile.
bool Visit(Room room, int id) {
  Chan<Message> inbox = MakeChan<Message>(8);
  room.join.Send({id, inbox});
  int next = inbox.Recv().value.number;
  int sentences = 0;
  bool exact = true;
  // Nil while there is nothing to send, which switches the case off. The guest
  // listens all the time, so that the room never waits for it in vain.
  Chan<int> say = room.say;
  Chan<int> leave;
  for (;;) {
    Message message;
    bool ok;
    switch (Select(RecvCase(inbox, &message, &ok), SendCase(say, id),
                   SendCase(leave, id))) {
      case 0:
        if (!ok) return exact;
        exact = exact && message.number == next;
        if (message.speaker != kRoom) ++next;
        if (message.speaker == id) {
          ++sentences;
          if (sentences < kSentences) {
            say = room.say;
          } else {
            leave = room.leave;
          }
        }
        break;
      case 1:
        say = nullptr;
        break;
      case 2:
        leave = nullptr;
        break;
    }
  }
}

void Main() {
  Room room;
  Chan<int> said = MakeChan<int>();
  Go(RunRoom, room, said);

  Chan<bool> results = MakeChan<bool>(kGuests);
  WaitGroup guests;
  for (int id = 0; id < kGuests; ++id) {
    guests.Go([=] { results.Send(Visit(room, id)); });
  }
  guests.Wait();
  results.Close();

  int exact = 0;
  for (bool result : results) exact += result;
  std::printf("%d guests said %d sentences\n", kGuests, said.Recv().value);
  std::printf("%d heard exactly what was said while they were there\n", exact);
}

}  // namespace

int main() { return RunMain(Main); }
