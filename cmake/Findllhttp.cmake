# llhttp, the HTTP parser of Node.js. Newer distributions: libllhttp-dev. Debian 12: package node-llhttp
# carries header and sources, compiled here into a small static library. Defines llhttp::llhttp.
find_path(llhttp_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp /usr/share/nodejs/llhttp/include)
find_library(llhttp_LIBRARY NAMES llhttp)
find_path(llhttp_SOURCE_DIR llhttp.c PATHS /usr/share/llhttp /usr/share/nodejs/llhttp/src NO_DEFAULT_PATH)
if(llhttp_LIBRARY)
  set(_llhttp_body "${llhttp_LIBRARY}")
elseif(llhttp_SOURCE_DIR)
  set(_llhttp_body "${llhttp_SOURCE_DIR}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(llhttp
  REQUIRED_VARS llhttp_INCLUDE_DIR _llhttp_body
  REASON_FAILURE_MESSAGE "install libllhttp-dev, or node-llhttp on Debian 12")
if(llhttp_FOUND AND NOT TARGET llhttp::llhttp)
  if(llhttp_LIBRARY)
    add_library(llhttp::llhttp UNKNOWN IMPORTED)
    set_target_properties(llhttp::llhttp PROPERTIES IMPORTED_LOCATION "${llhttp_LIBRARY}")
    target_include_directories(llhttp::llhttp INTERFACE "${llhttp_INCLUDE_DIR}")
  else()
    add_library(herd_llhttp STATIC
      "${llhttp_SOURCE_DIR}/api.c" "${llhttp_SOURCE_DIR}/http.c" "${llhttp_SOURCE_DIR}/llhttp.c")
    target_include_directories(herd_llhttp SYSTEM PUBLIC "${llhttp_INCLUDE_DIR}")
    target_compile_options(herd_llhttp PRIVATE -w -O2)
    add_library(llhttp::llhttp ALIAS herd_llhttp)
  endif()
endif()
