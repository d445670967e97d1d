// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/symbols.h"

#include <cxxabi.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/debugging/symbolize.h"
#include "runtime/goroutine_text.h"

#if defined(__ELF__) && __has_include(<link.h>)
#include <link.h>
#define GOCHAN_HAS_MODULES 1
#else
#define GOCHAN_HAS_MODULES 0
#endif

namespace gochan::runtime {

namespace {

std::string FileName(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return std::string(slash == path.npos ? path : path.substr(slash + 1));
}

std::string ProgramName() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length <= 0) return "program";
  return FileName({path, static_cast<std::size_t>(length)});
}

// As a whole, without what a compiler has hung on to it (".cold", ".part.0"),
// which some demanglers do not know.
std::string Demangle(const char* name) {
  std::string mangled(name);
  mangled.resize(std::min(mangled.find('.'), mangled.size()));
  int status = -1;
  char* const text =
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  if (status != 0 || text == nullptr) return name;
  const std::string demangled = text;
  std::free(text);
  return demangled;
}

}  // namespace

Symbolizer::Symbolizer() {
#if GOCHAN_HAS_MODULES
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* self) {
        const std::string name = info->dlpi_name[0] == '\0'
                                     ? ProgramName()
                                     : FileName(info->dlpi_name);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) {
            continue;
          }
          const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
          static_cast<Symbolizer*>(self)->modules_.push_back(
              {begin, begin + segment.p_memsz, info->dlpi_addr, name});
        }
        return 0;
      },
      this);
#endif
}

const Symbol& Symbolizer::Find(uintptr_t address) {
  const auto [at, fresh] = symbols_.try_emplace(address);
  Symbol& symbol = at->second;
  if (!fresh) return symbol;
  for (const Module& module : modules_) {
    if (address < module.begin || address >= module.end) continue;
    symbol.module = module.name;
    symbol.offset = address - module.base;
  }
  char name[1024];
  if (absl::Symbolize(reinterpret_cast<const void*>(address), name,
                      sizeof(name))) {
    const std::string_view text = name;
    symbol.function =
        ShortSymbol(text.starts_with("_Z") ? Demangle(name) : text);
  }
  return symbol;
}

std::string ShortSymbol(std::string_view name) {
  char text[1024];
  // Demanglers tell the clone that a compiler has made of a function.
  name = name.substr(0, name.find(" [clone"));
  const std::size_t length =
      ShortFunction(std::string(name).c_str(), text, sizeof(text));
  std::string rest(text, length);
  // A function of C, or main().
  if (!rest.ends_with(")") && !rest.starts_with("_Z")) rest += "()";

  // A lambda is the call operator of a class without a name: GCC's
  // "{lambda()#1}" or "{lambda(int)#2}", Clang's "$_0", libiberty's
  // "'lambda'()".
  std::string out;
  std::string_view in = rest;
  while (!in.empty()) {
    std::size_t skip = 0;
    if (in.starts_with("{lambda")) {
      skip = in.find('}');
      skip = skip == in.npos ? 0 : skip + 1;
    } else if (in.starts_with("$_")) {
      skip = in.find_first_not_of("0123456789", 2);
      if (skip == in.npos) skip = in.size();
    } else if (in.starts_with("'lambda")) {
      skip = in.find("'", 1);
      skip = skip == in.npos ? 0 : in.find(')', skip);
      skip = skip == in.npos || skip == 0 ? 0 : skip + 1;
    }
    if (skip == 0) {
      out += in[0];
      in.remove_prefix(1);
      continue;
    }
    // Parameters are no part of the name of main().
    if (out == "main::") out = "main()::";
    out += "<lambda>";
    in.remove_prefix(skip);
    constexpr std::string_view kCall = "::operator()";
    if (!in.starts_with(kCall)) continue;
    in.remove_prefix(kCall.size());
    if (in.starts_with("<")) {
      const std::size_t end = in.find('>');
      if (end != in.npos) in.remove_prefix(end + 1);
    }
    if (in.starts_with("()")) in.remove_prefix(2);
  }
  return out;
}

}  // namespace gochan::runtime
