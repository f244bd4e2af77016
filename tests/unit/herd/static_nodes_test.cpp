#include "herd/static_nodes.hpp"

#include "support/catch.hpp"

using namespace herd;

TEST_CASE("a node is named after its address unless told otherwise, and its id follows from its URL")
{
    const auto node = app::parse_static_node(R"({"url":"http://10.0.0.7:11434"})");
    REQUIRE(node);
    CHECK(node->name == "10.0.0.7:11434");
    const auto again = app::parse_static_node(R"({"url":"http://10.0.0.7:11434/","name":"attic","labels":["eu"],"slots":4})");
    REQUIRE(again);
    CHECK(again->id == node->id);
    CHECK(again->name == "attic");
    CHECK(again->slots == 4);
    CHECK(app::added(*again).address.host_header == "10.0.0.7:11434");
}

TEST_CASE("a node that makes no sense is refused with one sentence that names the field")
{
    const std::vector<std::pair<const char*, const char*>> cases{
        {"", "JSON object"},
        {"[]", "JSON object"},
        {"{}", "url"},
        {R"({"url":5})", "url"},
        {R"({"ulr":"http://a"})", "did you mean \"url\"?"},
        {R"({"url":"ftp://a"})", "ftp"},
        {R"({"url":"http://user:pw@a"})", "user"},
        {R"({"url":"https://a"})", "https"},
        {R"({"url":"http://a","slots":0})", "slots"},
        {R"({"url":"http://a","slots":"many"})", "slots"},
        {R"({"url":"http://a","labels":"eu"})", "labels"},
        {R"({"url":"http://a","name":7})", "name"},
    };
    for (const auto& [json, expected] : cases) {
        CAPTURE(json);
        const auto node = app::parse_static_node(json);
        REQUIRE_FALSE(node);
        CHECK(node.error().code == base::Errc::bad_config);
        CHECK(node.error().context.find(expected) != std::string::npos);
    }
}
