# Standalone Asio is headers only and has no CMake package on Debian 12. Defines Asio::Asio.
find_path(Asio_INCLUDE_DIR asio.hpp)
if(Asio_INCLUDE_DIR AND EXISTS "${Asio_INCLUDE_DIR}/asio/version.hpp")
  file(STRINGS "${Asio_INCLUDE_DIR}/asio/version.hpp" _asio_line REGEX "^#define ASIO_VERSION ")
  string(REGEX REPLACE ".*ASIO_VERSION ([0-9]+).*" "\\1" Asio_VERSION "${_asio_line}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Asio
  REQUIRED_VARS Asio_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "install libasio-dev")
if(Asio_FOUND AND NOT TARGET Asio::Asio)
  add_library(Asio::Asio INTERFACE IMPORTED)
  target_include_directories(Asio::Asio INTERFACE "${Asio_INCLUDE_DIR}")
  target_compile_definitions(Asio::Asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED)
  # Asio keeps two blocks per thread for the frames of coroutines and hands them out for anything that is smaller:
  # a frame that waits for an hour may sit in a block five times its size. malloc's own cache is as fast and exact.
  target_compile_definitions(Asio::Asio INTERFACE ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING)
  # Asio 1.22 does not recognise coroutines in clang with libstdc++ unless told.
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND Asio_VERSION LESS 102800)
    target_compile_definitions(Asio::Asio INTERFACE ASIO_HAS_CO_AWAIT=1 ASIO_HAS_STD_COROUTINE=1)
  endif()
  target_link_libraries(Asio::Asio INTERFACE Threads::Threads)
endif()
