#include "base/units.hpp"

#include "support/catch.hpp"

using namespace herd::base;

TEST_CASE("durations as people write them")
{
    CHECK(parse_duration("250ms") == 250ms);
    CHECK(parse_duration("1.5h") == 90min);
    CHECK(parse_duration("1m30s") == 90s);
    CHECK(parse_duration("30d") == 24h * 30);
    CHECK(parse_duration("0") == 0ns);
    CHECK(parse_duration("0s") == 0ns); // "0s" turns an option off
    for (const char* text : {"", "5", "-1s", "s", "5 parsecs", "1s2", "1e9s", "99999999999h"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_duration(text).has_value());
    }
}

TEST_CASE("a formatted duration parses back")
{
    for (const Duration value : {Duration{1ms}, Duration{250ms}, Duration{30s}, Duration{90s}, Duration{1h}, Duration{45min}, Duration{3661s}, Duration{1500us}, Duration{7ns}}) {
        CAPTURE(format_duration(value));
        CHECK(parse_duration(format_duration(value)) == value);
    }
}

TEST_CASE("sizes in both systems of units")
{
    CHECK(parse_bytes("512 MiB") == 512 * mib);
    CHECK(parse_bytes("64kib") == 64 * kib);
    CHECK(parse_bytes("1GB") == 1'000'000'000U);
    CHECK(parse_bytes("17") == 17U);
    CHECK_FALSE(parse_bytes("-1").has_value());
    CHECK_FALSE(parse_bytes("many").has_value());
    CHECK(format_bytes(512 * mib) == "512 MiB");
    CHECK(format_bytes(1536) == "1.5 KiB");
}
