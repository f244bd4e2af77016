# Third parties, wrapped once. Everything comes from the distribution's packages; nothing is downloaded.
find_package(Threads REQUIRED)
find_package(Asio MODULE REQUIRED)
find_package(llhttp MODULE REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(simdjson REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(CLI11 REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)

find_package(tomlplusplus QUIET)
if(NOT TARGET tomlplusplus::tomlplusplus)
  find_path(TOMLPLUSPLUS_INCLUDE_DIR toml++/toml.h REQUIRED)
  add_library(tomlplusplus::tomlplusplus INTERFACE IMPORTED)
  target_include_directories(tomlplusplus::tomlplusplus INTERFACE "${TOMLPLUSPLUS_INCLUDE_DIR}")
endif()

# cpp-httplib: a shared library on Debian and Ubuntu, header-only elsewhere.
# Where it is a library, the header must see the macros that library was built with: they change class layouts.
find_path(HTTPLIB_INCLUDE_DIR httplib.h REQUIRED)
find_library(HTTPLIB_LIBRARY NAMES cpp-httplib)
pkg_check_modules(HTTPLIB_PC QUIET cpp-httplib)
add_library(herd_httplib INTERFACE)
target_compile_options(herd_httplib INTERFACE ${HTTPLIB_PC_CFLAGS_OTHER})
target_include_directories(herd_httplib SYSTEM INTERFACE "${HTTPLIB_INCLUDE_DIR}")
target_link_libraries(herd_httplib INTERFACE Threads::Threads OpenSSL::SSL)
if(HTTPLIB_LIBRARY)
  target_link_libraries(herd_httplib INTERFACE "${HTTPLIB_LIBRARY}")
endif()

# What allocates memory in the programs. A request's record is made by one thread and freed by another, which glibc does
# slowly and mimalloc does not (ADR 20). Sanitizers bring their own. Linked into programs only.
add_library(herd_allocator INTERFACE)
if(NOT HERD_SANITIZE)
  find_library(MIMALLOC_LIBRARY NAMES mimalloc REQUIRED)
  target_link_libraries(herd_allocator INTERFACE -Wl,--no-as-needed "${MIMALLOC_LIBRARY}" -Wl,--as-needed)
endif()
