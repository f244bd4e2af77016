# Which compilers build herd, and how.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  message(FATAL_ERROR
    "g++ ${CMAKE_CXX_COMPILER_VERSION} miscompiles co_await (double free at run time, no warning). "
    "Install clang 19 (Debian 12: apt-get install clang-19 lld-19, then configure with a preset, which finds it, "
    "or pass -DCMAKE_CXX_COMPILER=clang++-19) or g++ >= 13.")
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR
    "clang ${CMAKE_CXX_COMPILER_VERSION} hides std::expected under libstdc++. "
    "Install clang 19 or newer (apt-get install clang-19 lld-19) or g++ >= 13.")
endif()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# Trust a probe, not version numbers: std::expected must really be there.
include(CheckCXXSourceCompiles)
set(CMAKE_REQUIRED_FLAGS "-std=c++23")
check_cxx_source_compiles("
  #include <expected>
  #include <string>
  std::expected<int, std::string> f(int i) { if (i) return i; return std::unexpected(std::string(\"no\")); }
  int main() { return f(1).value() - 1; }" HERD_HAS_EXPECTED)
unset(CMAKE_REQUIRED_FLAGS)
if(NOT HERD_HAS_EXPECTED)
  message(FATAL_ERROR "This compiler and its standard library lack std::expected. Install clang-19 (with libstdc++ 12 or newer) or g++ >= 13.")
endif()

find_program(HERD_CCACHE ccache)
if(HERD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER "${HERD_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${HERD_CCACHE}")
endif()

add_library(herd_options INTERFACE)
target_compile_options(herd_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast
  -Wnon-virtual-dtor -Wimplicit-fallthrough)
set(HERD_SANITIZE "" CACHE STRING "Sanitizers, for example address,undefined")
if(HERD_SANITIZE)
  add_compile_options(-fsanitize=${HERD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HERD_SANITIZE})
endif()
if(HERD_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  get_filename_component(_clang_bin "${CMAKE_CXX_COMPILER}" REALPATH)
  get_filename_component(_clang_bin "${_clang_bin}" DIRECTORY)
  find_program(HERD_LLD ld.lld HINTS "${_clang_bin}")
  if(HERD_LLD)
    add_link_options(-fuse-ld=lld)
  endif()
endif()
