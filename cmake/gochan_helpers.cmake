# The words of our BUILD files for CMake: gochan_cc_library, gochan_cc_test, gochan_cc_binary and
# gochan_cc_benchmark take NAME, HDRS, SRCS and DEPS as the Bazel rule of that name does.
#
# A target's CMake name is its Bazel label with underscores for slashes:
#
#   //chan                  gochan::chan
#   //chan:panic            gochan::chan_panic
#   //chan/internal:core    gochan::chan_internal_core
#   //:gochan               gochan::gochan

include_guard(GLOBAL)
include(GNUInstallDirs)

set(GOCHAN_ROOT "${CMAKE_CURRENT_LIST_DIR}/.." CACHE INTERNAL "gochan's source tree")
get_filename_component(GOCHAN_ROOT "${GOCHAN_ROOT}" REALPATH)

# Headers keep their paths from the root of the tree, and this folder is on the include path.
set(GOCHAN_INSTALL_INCLUDEDIR "${CMAKE_INSTALL_INCLUDEDIR}/gochan")

# Sets `out` to the name of target `name` of the current folder, without "gochan::".
function(_gochan_flat_name out name)
  file(RELATIVE_PATH package "${GOCHAN_ROOT}" "${CMAKE_CURRENT_SOURCE_DIR}")
  get_filename_component(folder "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
  if(package STREQUAL "")
    set(flat "${name}")
  elseif(name STREQUAL folder)
    set(flat "${package}")
  else()
    set(flat "${package}_${name}")
  endif()
  string(REPLACE "/" "_" flat "${flat}")
  set(${out} "${flat}" PARENT_SCOPE)
endfunction()

# Adds the library `target`. INTERFACE where there is nothing to compile.
function(_gochan_add_library target)
  cmake_parse_arguments(
    PARSE_ARGV 1 ARG "EXCLUDE_FROM_ALL;ALWAYSLINK" "" "HDRS;SRCS;DEPS;DEFINES")
  if(ARG_SRCS)
    set(scope PUBLIC)
    if(ARG_ALWAYSLINK)
      add_library(${target} OBJECT EXCLUDE_FROM_ALL ${ARG_SRCS} ${ARG_HDRS})
    elseif(ARG_EXCLUDE_FROM_ALL)
      add_library(${target} STATIC EXCLUDE_FROM_ALL ${ARG_SRCS} ${ARG_HDRS})
    else()
      add_library(${target} ${ARG_SRCS} ${ARG_HDRS})
    endif()
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    if(GOCHAN_WERROR)
      target_compile_options(${target} PRIVATE -Wall -Wextra -Werror)
    endif()
  else()
    set(scope INTERFACE)
    add_library(${target} INTERFACE)
  endif()
  target_compile_features(${target} ${scope} cxx_std_20)
  target_compile_definitions(${target} ${scope} ${ARG_DEFINES})
  target_include_directories(${target} ${scope}
    "$<BUILD_INTERFACE:${GOCHAN_ROOT}>"
    "$<INSTALL_INTERFACE:${GOCHAN_INSTALL_INCLUDEDIR}>")
  target_link_libraries(${target} ${scope} ${ARG_DEPS})
endfunction()

# gochan_cc_library(NAME name [HDRS ...] [SRCS ...] [DEPS ...] [TESTONLY] [NO_TWIN] [ALWAYSLINK])
#
# Also adds an instrumented twin, NAME_instrumented, where tests or benchmarks are built: the same
# sources with a hook at every atomic operation (bazel/gochan_cc.bzl says more). A program links
# plain targets or twins, never both. NO_TWIN is for a library that makes sense only on top of
# twins, or nowhere near them. TESTONLY libraries are not installed. ALWAYSLINK, for TESTONLY ones
# without a twin: programs that name it have all of it, also what they do not refer to.
function(gochan_cc_library)
  cmake_parse_arguments(PARSE_ARGV 0 ARG "TESTONLY;NO_TWIN;ALWAYSLINK" "NAME" "HDRS;SRCS;DEPS")
  _gochan_flat_name(flat ${ARG_NAME})

  set(target gochan_${flat})
  if(flat STREQUAL "gochan")
    set(target gochan)
  endif()
  set(exclude "")
  if(ARG_TESTONLY)
    set(exclude EXCLUDE_FROM_ALL)
  endif()
  if(ARG_ALWAYSLINK)
    list(APPEND exclude ALWAYSLINK)
  endif()
  _gochan_add_library(${target} ${exclude} HDRS ${ARG_HDRS} SRCS ${ARG_SRCS} DEPS ${ARG_DEPS})
  add_library(gochan::${flat} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${flat})

  if(GOCHAN_INSTALL AND NOT ARG_TESTONLY)
    install(TARGETS ${target} EXPORT gochanTargets)
    file(RELATIVE_PATH package "${GOCHAN_ROOT}" "${CMAKE_CURRENT_SOURCE_DIR}")
    install(FILES ${ARG_HDRS} DESTINATION "${GOCHAN_INSTALL_INCLUDEDIR}/${package}")
  endif()

  if((GOCHAN_BUILD_TESTS OR GOCHAN_BUILD_BENCHMARKS) AND NOT ARG_NO_TWIN)
    set(deps ${ARG_DEPS})
    list(TRANSFORM deps APPEND "_instrumented" REGEX "^gochan::")
    _gochan_add_library(${target}_instrumented EXCLUDE_FROM_ALL
      HDRS ${ARG_HDRS} SRCS ${ARG_SRCS} DEPS ${deps}
      # Two cells are enough to reach every border between segments in a few operations.
      DEFINES GOCHAN_INSTRUMENT=1 GOCHAN_SEGMENT_CELLS=2)
    add_library(gochan::${flat}_instrumented ALIAS ${target}_instrumented)
  endif()
endfunction()

# gochan_cc_binary(NAME name SRCS ... [DEPS ...]); the file is called NAME.
function(gochan_cc_binary)
  cmake_parse_arguments(PARSE_ARGV 0 ARG "" "NAME" "SRCS;DEPS")
  _gochan_flat_name(flat ${ARG_NAME})
  set(target gochan_${flat})
  add_executable(${target} ${ARG_SRCS})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${ARG_NAME})
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_include_directories(${target} PRIVATE "${GOCHAN_ROOT}")
  target_link_libraries(${target} PRIVATE ${ARG_DEPS})
  if(GOCHAN_WERROR)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Werror)
  endif()
endfunction()

# gochan_cc_test(NAME name SRCS ... [DEPS ...] [TAGS ...] [NO_LEAK_CHECK])
#
# The program fails tests that leave goroutines behind (test/util/leak_listener.cc). NO_LEAK_CHECK is
# for those that link instrumented twins.
#
# TAGS become ctest labels, beside one for the folder ("test/model" gives "model"). As in Bazel, a
# test tagged "exclusive" runs alone. Tests with a tag of GOCHAN_SKIP_TAGS are left out.
function(gochan_cc_test)
  cmake_parse_arguments(PARSE_ARGV 0 ARG "NO_LEAK_CHECK" "NAME" "SRCS;DEPS;TAGS")
  if(NOT GOCHAN_BUILD_TESTS)
    return()
  endif()
  foreach(tag IN LISTS ARG_TAGS)
    if(tag IN_LIST GOCHAN_SKIP_TAGS)
      return()
    endif()
  endforeach()
  if(NOT ARG_NO_LEAK_CHECK)
    list(APPEND ARG_DEPS gochan::test_util_leak_listener)
  endif()
  gochan_cc_binary(NAME ${ARG_NAME} SRCS ${ARG_SRCS} DEPS ${ARG_DEPS})
  _gochan_flat_name(flat ${ARG_NAME})
  get_filename_component(folder "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
  file(RELATIVE_PATH package "${GOCHAN_ROOT}" "${CMAKE_CURRENT_SOURCE_DIR}")
  set(test "${package}/${ARG_NAME}")
  add_test(NAME ${test} COMMAND gochan_${flat})
  set_tests_properties(${test} PROPERTIES LABELS "${folder};${ARG_TAGS}")
  if("exclusive" IN_LIST ARG_TAGS)
    set_tests_properties(${test} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# gochan_cc_benchmark(NAME name SRCS ... [DEPS ...])
function(gochan_cc_benchmark)
  if(GOCHAN_BUILD_BENCHMARKS)
    gochan_cc_binary(${ARGV})
  endif()
endfunction()
