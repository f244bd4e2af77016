// Whole exchanges about tools beside nodes: what a name that models and tools share stands for, and when a tool is free.
#include "streams.hpp"

using namespace herd;
using namespace herd::proxy::testing;

namespace {

/// Node 2 has a tool that makes images under the name of node 1's model "m"; with `both`, node 1 has such a tool, too.
void name_tools(World& w, bool both)
{
    auto picture = std::make_shared<fleet::Snapshot>(*w.books.picture);
    auto& [key, holders] = *picture->models.begin();
    holders.at(1).tool = fleet::Tool::image;
    if (both) {
        holders.at(0).tool = fleet::Tool::image;
        picture->tools[key] = fleet::Tool::image;
    }
    w.books.picture = std::move(picture);
}

constexpr auto painting = R"({"model":"m","prompt":"a cat"})";

} // namespace

TEST_CASE("a model that another node has a tool of the same name as is asked as ever, and the tool as one")
{
    World w(2);
    name_tools(w, false);
    w.node(0).scripts = {stream()};
    CHECK(starts(w.post("/api/chat", chat), "200"));
    CHECK((w.books.asked.back().tool == fleet::Tool::none && !w.books.asked.back().tools_only));
    w.node(0).scripts = {answer(200, "png", "image/png")};
    CHECK(starts(w.post("/api/generate-image", painting), "200"));
    CHECK((w.books.asked.back().tool == fleet::Tool::image && w.books.asked.back().tools_only));
    CHECK(starts(w.post("/v1/images/generations", painting), "200"));
    CHECK((w.books.asked.back().tool == fleet::Tool::image && !w.books.asked.back().tools_only));
    const auto before = w.books.asked.size();
    const std::string form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b--\r\n";
    CHECK(body_of(w.ask("POST /api/transcribe HTTP/1.1\r\nHost: herd\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: "
                        + std::to_string(form.size()) + "\r\n\r\n" + form))
          == R"({"error":"speech model 'm' not found; available: none"})");
    CHECK(w.books.asked.size() == before);
}

TEST_CASE("a name that only tools have is refused to chats with the route to ask")
{
    World w(2);
    name_tools(w, true);
    const auto got = w.post("/api/chat", chat);
    CHECK(starts(got, "400"));
    CHECK(body_of(got).find("'m' is a tool beside a node and makes images") != std::string::npos);
    CHECK(w.books.asked.empty());
}

TEST_CASE("a tool is free once its answer begins, whatever becomes of the answer")
{
    const auto head = send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 10\r\n\r\nhalf");
    for (const bool tool : {true, false}) {
        World w;
        w.books.tool = tool;
        w.node(0).scripts = {{head, pause(5s), send("-image")}};
        CHECK(starts(w.post("/v1/images/generations", painting), "200"));
        CHECK(w.books.out.empty() == tool);
        w.settle(6s);
        CHECK(w.read() == "-image");
        CHECK(w.books.out.empty());
        REQUIRE(w.books.outcomes.size() == 1);
        CHECK(w.books.outcomes[0].result == fleet::Result::served);
        REQUIRE(w.records.size() == 1);
        CHECK(w.records[0].attempts.size() == 1);
        CHECK(w.records[0].termination == "--");
    }
    World w;
    w.books.tool = true;
    w.node(0).scripts = {{head, pause(1s), reset()}};
    (void)w.post("/v1/images/generations", painting);
    w.settle(2s);
    REQUIRE(w.records.size() == 1);
    CHECK(w.records[0].termination == "ND");
    CHECK(w.books.outcomes.size() == 1);
}
