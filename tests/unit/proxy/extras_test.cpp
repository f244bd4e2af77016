// What is meant for herd in a body, and taken out where nobody would pass over it.
#include "proxy/extras.hpp"

#include "support/catch.hpp"

using namespace herd::proxy;

TEST_CASE("what a client says to herd is taken out of a body, all else keeps its text and order")
{
    CHECK(without_extras(R"({ "model" : "m", "fallback_models":["a","b"], "n": 1.50, "metadata":{"tags":["x"]}, "messages":[ {"a":1} ] })")
          == R"({"model":"m","n":1.50,"messages":[ {"a":1} ]})");
    CHECK(without_extras(R"({"Fallback":false,"metadata":{"Tags":["x"],"user_id":"u"},"model":"m"})") == R"({"metadata":{"user_id":"u"},"model":"m"})");
    CHECK(without_extras(R"({"metadata":{},"big":12345678901234567890})") == R"({"metadata":{},"big":12345678901234567890})");
    CHECK(without_extras(R"({"metadata":"text","fallback":"prefer_loaded"})") == R"({"metadata":"text"})");
    CHECK(without_extras(R"({"metadata":{"tags":"one"}})") == R"({"metadata":{"tags":"one"}})"); // no list: not ours
    CHECK(without_extras(R"({"metadata":{"tags":[]}})") == "{}");
    CHECK(without_extras("{}") == "{}");
}

TEST_CASE("a body without such words is not taken apart")
{
    CHECK_FALSE(has_extras(peek_json(R"({"model":"m","metadata":{"user_id":"u"}})")));
    CHECK(has_extras(peek_json(R"({"model":"m","metadata":{"tags":["a"]}})")));
    CHECK(has_extras(peek_json(R"({"model":"m","fallback_models":["a"]})")));
    CHECK(has_extras(peek_json(R"({"model":"m","fallback":false})")));
    CHECK(has_extras(peek_json(R"({"model":"m","fallback":"prefer_loaded"})")));
}
