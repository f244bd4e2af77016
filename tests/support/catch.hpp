#pragma once
// Catch2 is version 2 on Debian 12 and 3 elsewhere; tests include this and write for both.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx; // NOLINT(google-global-names-in-headers)
#else
#include <catch2/catch.hpp>
#endif
