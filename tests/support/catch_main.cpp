// Compiled once, linked into every test program: Catch2 v2 needs 8 seconds for its main.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
