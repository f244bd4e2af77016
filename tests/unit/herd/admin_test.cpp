#include "herd/admin/admin.hpp"
#include "herd/admin/gate.hpp"

#include "support/catch.hpp"

using namespace herd;

namespace {

http::RequestHead post(std::initializer_list<http::Field> fields)
{
    http::RequestHead head;
    head.method = "POST";
    for (const http::Field& field : fields) {
        head.fields.add(field.name, field.value);
    }
    return head;
}

const base::Endpoint here{base::IpAddress::loopback(), 40000};
const base::Endpoint elsewhere{base::IpAddress::v4({192, 168, 1, 5}), 40000};

} // namespace

TEST_CASE("herd's own paths are told from Ollama's")
{
    for (const char* path : {"/herd/v1/status", "/herd", "/healthz", "/readyz", "/herd/x"}) {
        CHECK(app::admin::Admin::owns(path));
    }
    for (const char* path : {"/", "/api/tags", "/herdx", "/v1/models", "/healthzz"}) {
        CHECK_FALSE(app::admin::Admin::owns(path));
    }
}

TEST_CASE("changes are accepted from this machine, under a name only it has")
{
    CHECK(app::admin::write_refusal(post({{"Host", "127.0.0.1:11435"}}), here).empty());
    CHECK(app::admin::write_refusal(post({{"Host", "localhost:11435"}}), here).empty());
    CHECK(app::admin::write_refusal(post({{"Host", "[::1]:11435"}}), here).empty());
    CHECK_FALSE(app::admin::write_refusal(post({{"Host", "127.0.0.1:11435"}}), elsewhere).empty());
}

TEST_CASE("the dashboard that this herd served may change the fleet")
{
    const auto refusal = [](std::string host, std::string origin, std::string site) {
        return app::admin::write_refusal(
            post({{"Host", std::move(host)}, {"Origin", std::move(origin)}, {"Sec-Fetch-Site", std::move(site)}}), here);
    };
    CHECK(refusal("127.0.0.1:11435", "http://127.0.0.1:11435", "same-origin").empty());
    CHECK(refusal("localhost:11435", "http://localhost:11435", "same-origin").empty());
    CHECK_FALSE(refusal("localhost:11435", "http://localhost:11435", "same-site").empty());
    CHECK_FALSE(refusal("localhost:11435", "http://localhost:8080", "same-site").empty());
    CHECK_FALSE(refusal("localhost:11435", "null", "cross-site").empty());
    CHECK_FALSE(refusal("rebound.example", "http://rebound.example", "same-origin").empty());
}

TEST_CASE("a web page cannot change the fleet, not even by DNS rebinding")
{
    CHECK_FALSE(app::admin::write_refusal(post({{"Host", "localhost"}, {"Origin", "http://localhost:11435"}}), here).empty());
    CHECK_FALSE(app::admin::write_refusal(post({{"Host", "rebound.example"}}), here).empty());
    CHECK_FALSE(app::admin::write_refusal(post({{"Host", "localhost"}, {"Sec-Fetch-Site", "cross-site"}}), here).empty());
}
