# Finds a compiler that builds herd, so that the presets work on Debian 12 (clang-19 beside a g++ 12 that is
# refused), Debian 13 and Ubuntu 24.04 alike. $CC and $CXX, or -DCMAKE_CXX_COMPILER, win.
if(NOT CMAKE_CXX_COMPILER AND NOT DEFINED ENV{CXX})
  find_program(_herd_cxx NAMES clang++-22 clang++-21 clang++-20 clang++-19 g++-15 g++-14 g++-13)
  if(_herd_cxx)
    string(REPLACE "clang++" "clang" _herd_cc "${_herd_cxx}")
    string(REPLACE "g++" "gcc" _herd_cc "${_herd_cc}")
    set(CMAKE_CXX_COMPILER "${_herd_cxx}")
    if(EXISTS "${_herd_cc}" AND NOT CMAKE_C_COMPILER AND NOT DEFINED ENV{CC})
      set(CMAKE_C_COMPILER "${_herd_cc}")
    endif()
  endif()
  unset(_herd_cxx CACHE)
endif()
