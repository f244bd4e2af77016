#include "base/ids.hpp"
#include "base/request_id.hpp"

#include "support/catch.hpp"

using namespace herd::base;

TEST_CASE("a UUID reads back what it wrote, in either case")
{
    const auto id = Uuid::parse("0f8fad5b-d9cb-469f-a165-70867728950e");
    REQUIRE(id.has_value());
    CHECK(id->text() == "0f8fad5b-d9cb-469f-a165-70867728950e");
    CHECK(Uuid::parse("0F8FAD5B-D9CB-469F-A165-70867728950E") == id);
    CHECK(id->prefix() == 0x0f8fad5bd9cb469fULL);
}

TEST_CASE("what is not a UUID is refused")
{
    for (const char* text : {"", "0f8fad5bd9cb469fa16570867728950e", "0f8fad5b-d9cb-469f-a165-70867728950",
                             "0f8fad5b-d9cb-469f-a165-70867728950g", "0f8fad5b_d9cb-469f-a165-70867728950e",
                             "0f8fad5b-d9cb-469f-a165-70867728950e "}) {
        CAPTURE(text);
        CHECK_FALSE(Uuid::parse(text).has_value());
    }
}

TEST_CASE("a random UUID is of version 4 and not nil")
{
    Rng rng(7);
    const Uuid id = Uuid::random(rng);
    CHECK((id.bytes[6] >> 4) == 4);
    CHECK((id.bytes[8] >> 6) == 2);
    CHECK_FALSE(id.is_nil());
    CHECK(Uuid::random(rng) != id);
}

TEST_CASE("request ids are 15 lower-case letters and digits, and differ")
{
    Rng rng(1);
    const WallTime at{std::chrono::seconds{1'800'000'000}};
    const std::string a = make_request_id(rng, at);
    CHECK(a.size() == 15);
    CHECK(a.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz") == std::string::npos);
    CHECK(make_request_id(rng, at) != a);
    CHECK(make_request_id(rng, at + std::chrono::milliseconds{1}) > a);
    CHECK(make_request_id(rng, at + std::chrono::hours{24 * 365}) > a);
    CHECK(time_of_request_id(make_request_id(rng, at + std::chrono::microseconds{7999})) == at + std::chrono::milliseconds{7});
    CHECK(time_of_request_id("") == WallTime{});
    (void)time_of_request_id("\xff not one of ours, and much longer than one");
}
