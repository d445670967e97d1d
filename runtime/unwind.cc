// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/unwind.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>

#if GOCHAN_UNWIND

// From the unwinder that comes with the compiler, GCC's or LLVM's; no header
// declares it.
struct dwarf_eh_bases {
  const void* tbase;
  const void* dbase;
  const void* func;  // where the function begins
};
extern "C" const void* _Unwind_Find_FDE(const void* pc, dwarf_eh_bases* bases);

namespace gochan::runtime {

namespace {

// -----------------------------------------------------------------------------
// Registers, by DWARF's numbers
// -----------------------------------------------------------------------------

#if defined(__x86_64__)
constexpr unsigned kRegisters = 17;  // the last is the return address
constexpr unsigned kBase = 3;        // rbx
constexpr unsigned kFrame = 6;       // rbp
constexpr unsigned kStack = 7;       // rsp
#else
constexpr unsigned kRegisters = 32;
constexpr unsigned kBase = 19;
constexpr unsigned kFrame = 29;
constexpr unsigned kStack = 31;
#endif

struct Registers {
  bool Knows(uint64_t n) const {
    return n < kRegisters && (known >> n & 1) != 0;
  }
  void Set(unsigned n, uint64_t v) {
    value[n] = v;
    known |= uint32_t{1} << n;
  }
  void Forget(unsigned n) { known &= ~(uint32_t{1} << n); }

  uint64_t value[kRegisters];
  uint32_t known = 0;
};

// Without the signature that AArch64 may put into a return address.
uintptr_t Strip(uintptr_t pc) {
#if defined(__aarch64__)
  // xpaclri, as a hint: does nothing on processors without signatures.
  register uintptr_t x30 __asm__("x30") = pc;
  __asm__("hint #7" : "+r"(x30));
  return x30;
#else
  return pc;
#endif
}

// -----------------------------------------------------------------------------
// Reading .eh_frame
// -----------------------------------------------------------------------------

// Reads bytes of a piece of call frame information from left to right. What
// lies behind the end is zero.
class Bytes {
 public:
  Bytes() = default;
  Bytes(const uint8_t* begin, const uint8_t* end) : at_(begin), end_(end) {}

  bool AtEnd() const { return at_ >= end_; }
  const uint8_t* at() const { return at_; }

  template <typename T>
  T Read() {
    T value{};
    if (Left() < sizeof(T)) {
      at_ = end_;
      return value;
    }
    std::memcpy(&value, at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  uint64_t Uleb() {
    uint64_t value = 0;
    for (unsigned shift = 0; !AtEnd(); shift += 7) {
      const uint8_t byte = *at_++;
      if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) break;
    }
    return value;
  }
  int64_t Sleb() {
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte = 0;
    while (!AtEnd()) {
      byte = *at_++;
      if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
      shift += 7;
      if ((byte & 0x80) == 0) break;
    }
    if (shift < 64 && (byte & 0x40) != 0) value |= ~uint64_t{0} << shift;
    return static_cast<int64_t>(value);
  }
  void Skip(uint64_t bytes) { at_ += bytes < Left() ? bytes : Left(); }
  Bytes Take(uint64_t bytes) {
    const uint8_t* const begin = at_;
    Skip(bytes);
    return Bytes(begin, at_);
  }
  // Past a pointer that is encoded so (DW_EH_PE_...).
  void SkipPointer(uint8_t encoding) {
    switch (encoding & 0x0f) {
      case 0x01:  // uleb128
      case 0x09:  // sleb128
        (void)Uleb();
        break;
      case 0x02:  // 2 bytes
      case 0x0a:
        Skip(2);
        break;
      case 0x03:  // 4 bytes
      case 0x0b:
        Skip(4);
        break;
      default:  // 8 bytes
        Skip(8);
        break;
    }
  }

 private:
  std::size_t Left() const { return static_cast<std::size_t>(end_ - at_); }

  const uint8_t* at_ = nullptr;
  const uint8_t* end_ = nullptr;
};

// The entry (CIE or FDE) at `at`, from behind its length on; an empty one for
// the kinds that no compiler writes.
Bytes Entry(const uint8_t* at) {
  uint32_t length;
  std::memcpy(&length, at, sizeof(length));
  if (length == 0 || length >= 0xfffffff0u) return {};
  at += sizeof(length);
  return Bytes(at, at + length);
}

// -----------------------------------------------------------------------------
// Rules
// -----------------------------------------------------------------------------

// Where the caller's value of a register is.
struct Rule {
  enum Kind : uint8_t {
    kUnspecified,  // the same value, if it is one that functions keep
    kUndefined,
    kSame,
    kAtOffset,      // in memory, at CFA + offset
    kOffset,        // CFA + offset
    kRegister,      // in register `offset`
    kAtExpression,  // in memory, where the expression says
    kExpression,    // what the expression says
  };
  Kind kind = kUnspecified;
  union {
    int64_t offset = 0;
    const uint8_t* expression;  // its length, then itself
  };
};

// All of it, at one place in the program. CFA, the canonical frame address, is
// the caller's stack pointer.
struct Row {
  Rule cfa;  // kOffset: that register + cfa.offset; kExpression
  uint64_t cfa_register = 0;
  Rule rules[kRegisters];
};

// A Row without what is unspecified.
struct Frame {
  static constexpr std::size_t kMaxRules = 16;  // AArch64 keeps 12 registers

  bool known = false;
  bool outermost = false;  // nobody has called it
  uint8_t count = 0;
  uint8_t return_register = 0;
  uint8_t cfa_register = 0;
  uint8_t numbers[kMaxRules];
  Rule cfa;
  Rule rules[kMaxRules];
};

// Runs call frame instructions.
class Program {
 public:
  // What holds at `pc`. False: there is no information, or nothing that is
  // understood.
  bool Find(uintptr_t pc, Frame* frame) {
    dwarf_eh_bases bases{};
    const auto* const fde = static_cast<const uint8_t*>(
        _Unwind_Find_FDE(reinterpret_cast<const void*>(pc), &bases));
    if (fde == nullptr) return false;
    pc_ = pc;
    Bytes in = Entry(fde);
    const uint8_t* const id = in.at();
    const auto distance = in.Read<int32_t>();
    if (in.AtEnd() || !ReadCie(id - distance)) return false;
    in.SkipPointer(encoding_);
    in.SkipPointer(encoding_);  // a length, of the same size
    if (augmented_) in.Skip(in.Uleb());
    row_ = Row{};
    depth_ = 0;
    loc_ = 0;
    if (!Run(instructions_)) return false;
    initial_ = row_;
    loc_ = reinterpret_cast<uintptr_t>(bases.func);
    return Run(in) && Pack(frame);
  }

 private:
  static constexpr std::size_t kMaxDepth = 8;

  bool ReadCie(const uint8_t* at) {
    Bytes in = Entry(at);
    if (in.Read<uint32_t>() != 0 || in.AtEnd()) return false;
    const auto version = in.Read<uint8_t>();
    if (version != 1 && version != 3 && version != 4) return false;
    const uint8_t* const augmentation = in.at();
    while (!in.AtEnd() && in.Read<uint8_t>() != 0) {
    }
    if (version == 4) in.Skip(2);  // sizes of addresses and segments
    code_factor_ = in.Uleb();
    data_factor_ = in.Sleb();
    return_register_ = version == 1 ? in.Read<uint8_t>() : in.Uleb();
    if (return_register_ >= kRegisters) return false;
    encoding_ = 0;
    augmented_ = augmentation[0] == 'z';
    if (!augmented_) {
      instructions_ = in;
      return augmentation[0] == '\0';
    }
    Bytes data = in.Take(in.Uleb());
    instructions_ = in;
    for (const uint8_t* c = augmentation + 1; *c != 0; ++c) {
      switch (*c) {
        case 'R':
          encoding_ = data.Read<uint8_t>();
          break;
        case 'P':
          data.SkipPointer(data.Read<uint8_t>());
          break;
        case 'L':
          data.Skip(1);
          break;
        case 'S':  // a signal frame
        case 'B':  // which key signs
        case 'G':
          break;
        default:
          return false;
      }
    }
    return true;
  }

  Rule* At(uint64_t number) {
    return number < kRegisters ? &row_.rules[number] : &ignored_;
  }
  void Set(uint64_t number, Rule::Kind kind, int64_t offset) {
    Rule* const rule = At(number);
    rule->kind = kind;
    rule->offset = offset;
  }
  void SetExpression(Rule* rule, Rule::Kind kind, Bytes& in) {
    rule->kind = kind;
    rule->expression = in.at();
    in.Skip(in.Uleb());
  }
  int64_t Scaled(uint64_t offset) const {
    return static_cast<int64_t>(offset) * data_factor_;
  }
  // False: the next row begins behind the place.
  bool Advance(uint64_t distance) {
    loc_ += distance * code_factor_;
    return loc_ <= pc_;
  }

  // False: something is not understood.
  bool Run(Bytes in) {
    while (!in.AtEnd()) {
      const auto op = in.Read<uint8_t>();
      const uint64_t low = op & 0x3f;
      switch (op >> 6) {
        case 1:  // DW_CFA_advance_loc
          if (!Advance(low)) return true;
          continue;
        case 2:  // DW_CFA_offset
          Set(low, Rule::kAtOffset, Scaled(in.Uleb()));
          continue;
        case 3:  // DW_CFA_restore
          Restore(low);
          continue;
        default:
          break;
      }
      uint64_t number;
      switch (op) {
        case 0x00:  // DW_CFA_nop
          break;
        case 0x02:  // DW_CFA_advance_loc1
          if (!Advance(in.Read<uint8_t>())) return true;
          break;
        case 0x03:  // DW_CFA_advance_loc2
          if (!Advance(in.Read<uint16_t>())) return true;
          break;
        case 0x04:  // DW_CFA_advance_loc4
          if (!Advance(in.Read<uint32_t>())) return true;
          break;
        case 0x05:  // DW_CFA_offset_extended
          number = in.Uleb();
          Set(number, Rule::kAtOffset, Scaled(in.Uleb()));
          break;
        case 0x06:  // DW_CFA_restore_extended
          Restore(in.Uleb());
          break;
        case 0x07:  // DW_CFA_undefined
          Set(in.Uleb(), Rule::kUndefined, 0);
          break;
        case 0x08:  // DW_CFA_same_value
          Set(in.Uleb(), Rule::kSame, 0);
          break;
        case 0x09:  // DW_CFA_register
          number = in.Uleb();
          Set(number, Rule::kRegister, static_cast<int64_t>(in.Uleb()));
          break;
        case 0x0a:  // DW_CFA_remember_state
          if (depth_ == kMaxDepth) return false;
          remembered_[depth_++] = row_;
          break;
        case 0x0b:  // DW_CFA_restore_state
          if (depth_ == 0) return false;
          row_ = remembered_[--depth_];
          break;
        case 0x0c:  // DW_CFA_def_cfa
          row_.cfa.kind = Rule::kOffset;
          row_.cfa_register = in.Uleb();
          row_.cfa.offset = static_cast<int64_t>(in.Uleb());
          break;
        case 0x0d:  // DW_CFA_def_cfa_register
          row_.cfa_register = in.Uleb();
          break;
        case 0x0e:  // DW_CFA_def_cfa_offset
          row_.cfa.offset = static_cast<int64_t>(in.Uleb());
          break;
        case 0x0f:  // DW_CFA_def_cfa_expression
          SetExpression(&row_.cfa, Rule::kExpression, in);
          break;
        case 0x10:  // DW_CFA_expression
          number = in.Uleb();
          SetExpression(At(number), Rule::kAtExpression, in);
          break;
        case 0x11:  // DW_CFA_offset_extended_sf
          number = in.Uleb();
          Set(number, Rule::kAtOffset, in.Sleb() * data_factor_);
          break;
        case 0x12:  // DW_CFA_def_cfa_sf
          row_.cfa.kind = Rule::kOffset;
          row_.cfa_register = in.Uleb();
          row_.cfa.offset = in.Sleb() * data_factor_;
          break;
        case 0x13:  // DW_CFA_def_cfa_offset_sf
          row_.cfa.offset = in.Sleb() * data_factor_;
          break;
        case 0x14:  // DW_CFA_val_offset
          number = in.Uleb();
          Set(number, Rule::kOffset, Scaled(in.Uleb()));
          break;
        case 0x15:  // DW_CFA_val_offset_sf
          number = in.Uleb();
          Set(number, Rule::kOffset, in.Sleb() * data_factor_);
          break;
        case 0x16:  // DW_CFA_val_expression
          number = in.Uleb();
          SetExpression(At(number), Rule::kExpression, in);
          break;
        case 0x2d:  // DW_CFA_AARCH64_negate_ra_state: see Strip()
          break;
        case 0x2e:  // DW_CFA_GNU_args_size
          (void)in.Uleb();
          break;
        case 0x2f:  // DW_CFA_GNU_negative_offset_extended
          number = in.Uleb();
          Set(number, Rule::kAtOffset, -Scaled(in.Uleb()));
          break;
        default:  // among them DW_CFA_set_loc, which nobody uses
          return false;
      }
    }
    return true;
  }
  void Restore(uint64_t number) {
    if (number < kRegisters) row_.rules[number] = initial_.rules[number];
  }

  bool Pack(Frame* frame) const {
    if (row_.cfa.kind != Rule::kOffset && row_.cfa.kind != Rule::kExpression) {
      return false;
    }
    if (row_.cfa_register >= kRegisters) return false;
    frame->cfa = row_.cfa;
    frame->cfa_register = static_cast<uint8_t>(row_.cfa_register);
    frame->return_register = static_cast<uint8_t>(return_register_);
    frame->outermost = row_.rules[return_register_].kind == Rule::kUndefined;
    frame->count = 0;
    for (unsigned i = 0; i < kRegisters; ++i) {
      const Rule& rule = row_.rules[i];
      if (rule.kind == Rule::kUnspecified || rule.kind == Rule::kSame) continue;
      if (frame->count == Frame::kMaxRules) return false;
      frame->numbers[frame->count] = static_cast<uint8_t>(i);
      frame->rules[frame->count++] = rule;
    }
    return true;
  }

  uintptr_t pc_ = 0;
  uintptr_t loc_ = 0;  // from where on row_ holds
  // Of the CIE.
  uint64_t code_factor_ = 1;
  int64_t data_factor_ = 1;
  uint64_t return_register_ = 0;
  uint8_t encoding_ = 0;
  bool augmented_ = false;
  Bytes instructions_;

  Row row_;
  Row initial_;
  std::size_t depth_ = 0;
  Row remembered_[kMaxDepth];
  Rule ignored_;
};

// -----------------------------------------------------------------------------
// The walk
// -----------------------------------------------------------------------------

// Of the copy alone.
bool Load(const StackCopy& copy, uint64_t address, uint64_t* value) {
  const uint64_t offset = address - copy.low;
  if (offset % sizeof(uintptr_t) != 0 ||
      offset / sizeof(uintptr_t) >= copy.words.size()) {
    return false;
  }
  *value = copy.words[offset / sizeof(uintptr_t)];
  return true;
}

// DWARF's stack machine, as far as compilers use it to say where a frame is:
// `expression` is its length and itself. False: not understood, or it leads out
// of the copy.
bool Evaluate(const uint8_t* expression, const StackCopy& copy,
              const Registers& registers, const uint64_t* first,
              uint64_t* result) {
  constexpr std::size_t kDepth = 16;
  uint64_t stack[kDepth];
  std::size_t depth = 0;
  if (first != nullptr) stack[depth++] = *first;
  Bytes length(expression, expression + 10);
  const uint64_t bytes = length.Uleb();
  Bytes in(length.at(), length.at() + bytes);
  while (!in.AtEnd()) {
    const auto op = in.Read<uint8_t>();
    uint64_t value;
    if (op >= 0x30 && op <= 0x4f) {  // DW_OP_lit0...
      value = op - 0x30u;
    } else if (op >= 0x70 && op <= 0x8f) {  // DW_OP_breg0...
      if (!registers.Knows(op - 0x70u)) return false;
      value = registers.value[op - 0x70] + static_cast<uint64_t>(in.Sleb());
    } else {
      switch (op) {
        case 0x08:  // DW_OP_const1u
          value = in.Read<uint8_t>();
          break;
        case 0x09:  // DW_OP_const1s
          value = static_cast<uint64_t>(int64_t{in.Read<int8_t>()});
          break;
        case 0x0a:  // DW_OP_const2u
          value = in.Read<uint16_t>();
          break;
        case 0x0b:  // DW_OP_const2s
          value = static_cast<uint64_t>(int64_t{in.Read<int16_t>()});
          break;
        case 0x10:  // DW_OP_constu
          value = in.Uleb();
          break;
        case 0x11:  // DW_OP_consts
          value = static_cast<uint64_t>(in.Sleb());
          break;
        case 0x06:  // DW_OP_deref
          if (depth < 1 || !Load(copy, stack[--depth], &value)) return false;
          break;
        case 0x12:  // DW_OP_dup
          if (depth < 1) return false;
          value = stack[depth - 1];
          break;
        case 0x23:  // DW_OP_plus_uconst
          if (depth < 1) return false;
          value = stack[--depth] + in.Uleb();
          break;
        case 0x1a:  // DW_OP_and
        case 0x1c:  // DW_OP_minus
        case 0x22:  // DW_OP_plus
        case 0x24:  // DW_OP_shl
        case 0x2a:  // DW_OP_ge
        {
          if (depth < 2) return false;
          const uint64_t right = stack[--depth];
          const uint64_t left = stack[--depth];
          value = op == 0x1a   ? left & right
                  : op == 0x1c ? left - right
                  : op == 0x22 ? left + right
                  : op == 0x24 ? (right < 64 ? left << right : 0)
                               : uint64_t{static_cast<int64_t>(left) >=
                                          static_cast<int64_t>(right)};
          break;
        }
        default:
          return false;
      }
    }
    if (depth == kDepth) return false;
    stack[depth++] = value;
  }
  if (depth == 0) return false;
  *result = stack[depth - 1];
  return true;
}

// From a frame to its caller's: registers and `*pc`. False: there is none, or
// nobody knows.
bool Step(const Frame& frame, const StackCopy& copy, Registers& registers,
          uintptr_t* pc) {
  uint64_t cfa;
  if (frame.cfa.kind == Rule::kOffset) {
    if (!registers.Knows(frame.cfa_register)) return false;
    cfa = registers.value[frame.cfa_register] +
          static_cast<uint64_t>(frame.cfa.offset);
  } else if (!Evaluate(frame.cfa.expression, copy, registers, nullptr, &cfa)) {
    return false;
  }
  // Callers lie above, and inside.
  const uint64_t end = copy.low + copy.words.size() * sizeof(uintptr_t);
  if (cfa < registers.value[kStack] || cfa > end) return false;
  Registers caller = registers;
  caller.Set(kStack, cfa);
  for (std::size_t i = 0; i < frame.count; ++i) {
    const unsigned number = frame.numbers[i];
    const Rule& rule = frame.rules[i];
    uint64_t value = 0;
    bool known = false;
    switch (rule.kind) {
      case Rule::kAtOffset:
        known = Load(copy, cfa + static_cast<uint64_t>(rule.offset), &value);
        break;
      case Rule::kOffset:
        value = cfa + static_cast<uint64_t>(rule.offset);
        known = true;
        break;
      case Rule::kRegister:
        known = registers.Knows(static_cast<uint64_t>(rule.offset));
        if (known) value = registers.value[rule.offset];
        break;
      case Rule::kAtExpression:
        known = Evaluate(rule.expression, copy, registers, &cfa, &value) &&
                Load(copy, value, &value);
        break;
      case Rule::kExpression:
        known = Evaluate(rule.expression, copy, registers, &cfa, &value);
        break;
      default:
        break;
    }
    if (known) {
      caller.Set(number, value);
    } else {
      caller.Forget(number);
    }
  }
  if (!caller.Knows(frame.return_register)) return false;
  *pc = Strip(caller.value[frame.return_register]);
  // Where the caller has been called from, that one has saved.
  caller.Forget(frame.return_register);
  registers = caller;
  return *pc != 0;
}

}  // namespace

struct Unwinder::State {
  const Frame& Find(uintptr_t pc) {
    const auto [at, fresh] = frames.try_emplace(pc);
    if (fresh) at->second.known = program.Find(pc, &at->second);
    return at->second;
  }

  std::unordered_map<uintptr_t, Frame> frames;
  Program program;
};

Unwinder::Unwinder() : state_(std::make_unique<State>()) {}
Unwinder::~Unwinder() = default;

std::size_t Unwinder::Unwind(const StackCopy& copy, absl::Span<uintptr_t> pcs) {
  Registers registers;
  registers.Set(kStack, copy.low);
  registers.Set(kFrame, copy.frame);
  registers.Set(kBase, copy.base);
  std::size_t n = 0;
  uintptr_t pc = copy.resume;
  while (n < pcs.size()) {
    const Frame& frame = state_->Find(pc - 1);
    if (!frame.known) break;  // no code, or nobody knows whose
    pcs[n++] = pc;
    if (frame.outermost || !Step(frame, copy, registers, &pc)) break;
  }
  return n;
}

}  // namespace gochan::runtime

#else  // !GOCHAN_UNWIND

namespace gochan::runtime {

struct Unwinder::State {};

Unwinder::Unwinder() = default;
Unwinder::~Unwinder() = default;

std::size_t Unwinder::Unwind(const StackCopy&, absl::Span<uintptr_t>) {
  return 0;
}

}  // namespace gochan::runtime

#endif  // GOCHAN_UNWIND
