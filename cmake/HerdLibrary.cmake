# herd_library(NAME SOURCES… HEADERS… DEPS… PRIVATE_DEPS…)
#
# One library of the house: target herd_NAME with alias herd::NAME, headers beside sources, include root libs/.
# DEPS are visible in its headers, PRIVATE_DEPS only in its sources. The table of who may see whom is in
# docs/ARCHITECTURE.md; scripts/tidy.py compares it with these calls and with the #includes.
function(herd_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;HEADERS;DEPS;PRIVATE_DEPS")
  add_library(herd_${name} STATIC ${arg_SOURCES})
  add_library(herd::${name} ALIAS herd_${name})
  target_sources(herd_${name} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/libs" FILES ${arg_HEADERS})
  target_link_libraries(herd_${name} PUBLIC ${arg_DEPS} PRIVATE herd_options ${arg_PRIVATE_DEPS})
endfunction()

# herd_app(NAME SOURCES… HEADERS… DEPS…): the same for a program's own library, include root apps/.
function(herd_app name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;HEADERS;DEPS")
  add_library(${name} STATIC ${arg_SOURCES})
  target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/apps" FILES ${arg_HEADERS})
  target_link_libraries(${name} PUBLIC ${arg_DEPS} PRIVATE herd_options)
endfunction()
