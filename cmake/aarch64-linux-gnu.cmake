# Toolchain file: cross-builds for AArch64 with Debian's g++-aarch64-linux-gnu and runs what it has
# built, tests too, under qemu-user. `./run aarch64` uses it.
#
#   cmake -S . -B build/aarch64 -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake \
#     -DGOCHAN_ABSEIL_SOURCE_DIR=... -DGTest_DIR=...

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

# Programs are the building machine's; libraries and headers are never taken from it.
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

find_program(GOCHAN_QEMU_AARCH64 NAMES qemu-aarch64-static qemu-aarch64)
mark_as_advanced(GOCHAN_QEMU_AARCH64)
if(GOCHAN_QEMU_AARCH64)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${GOCHAN_QEMU_AARCH64};-L;/usr/aarch64-linux-gnu")
endif()
