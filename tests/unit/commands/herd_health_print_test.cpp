#include "herd/cli/print_health.hpp"

#include "support/catch.hpp"

#include <sstream>

using namespace herd;

namespace {

constexpr std::string_view report = R"({"score":77,"checks":[
  {"id":"node_offline","severity":"critical","summary":"n1 is offline","advice":"look","findings":[
    {"severity":"critical","summary":"n1 is offline","advice":"look at n1","resolved":false},
    {"severity":"critical","summary":"n2 is \u001b[31moffline","advice":"look at n2","resolved":false}]},
  {"id":"model_thrashing","severity":"info","summary":"was","advice":"none","findings":[
    {"severity":"info","summary":"it thrashed","advice":"","resolved":true}]},
  {"id":"no_nodes","severity":"ok","summary":"nothing found","advice":"","findings":[]}]})";

std::string printed(std::string_view body)
{
    std::ostringstream out;
    std::ostringstream err;
    const auto done = app::print_health(body, {out, err, false});
    return done ? out.str() : "refused";
}

} // namespace

TEST_CASE("doctor prints each finding with its advice, and counts what is well")
{
    const std::string text = printed(report);
    CHECK(text.find("critical  n1 is offline  [node_offline]\n          look at n1\n") != std::string::npos);
    CHECK(text.find("over      it thrashed") != std::string::npos);
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.ends_with("\nHealth 77 of 100. 1 of 3 checks found nothing.\n"));
}

TEST_CASE("doctor knows what is critical and what is no report")
{
    CHECK(app::any_critical(report));
    CHECK_FALSE(app::any_critical(R"({"checks":[{"severity":"warning"}]})"));
    for (const char* other : {"", "{}", "[]", R"({"checks":3})"}) {
        CHECK(printed(other) == "refused");
        CHECK_FALSE(app::any_critical(other));
    }
    CHECK(printed(R"({"checks":[3,{"id":5}],"score":"x"})").find("Health ? of 100") != std::string::npos);
}
