// Requests for a model that is on no node, where such a one may be pulled.
#include "world.hpp"

using namespace herd;
using namespace herd::proxy;
using namespace herd::proxy::testing;

namespace {

const std::string chat = R"({"model":"fresh","stream":false,"messages":[{"role":"user","content":"x"}]})";
const std::string streamed = R"({"model":"fresh","stream":true,"messages":[{"role":"user","content":"x"}]})";
const std::string exactly = R"({"error":"model 'fresh' not found"})";

ProxyOptions pulling()
{
    ProxyOptions options;
    options.auto_pull = {.allow = {*fleet::ModelPattern::parse("fresh*")}, .timeout = 100s};
    return options;
}

/// Nobody has the model until it is brought.
struct Pulled : World {
    explicit Pulled(ProxyOptions options = pulling()) : World(1, std::move(options))
    {
        books.refusal = fleet::Refusal{{base::Errc::no_such_model}, {}};
        node(0).scripts = {answer(200, R"({"done":true})")};
        shared->bring = [this](WantedModel wanted, std::weak_ptr<PullWait> waiting) {
            asked.push_back(std::move(wanted));
            waits.push_back(std::move(waiting));
        };
    }
    void tell(PullWait::Answer answer)
    {
        for (const auto& each : waits) {
            if (const auto wait = each.lock()) {
                wait->answer(answer);
            }
        }
        settle();
    }
    void arrives()
    {
        books.refusal.reset();
        tell({});
    }
    std::vector<WantedModel> asked{};
    std::vector<std::weak_ptr<PullWait>> waits{};
};

} // namespace

TEST_CASE("a request waits until the model was pulled, and is served")
{
    Pulled w;
    CHECK(w.post("/api/chat", chat, "X-Herd-Label: eu\r\n", 20s).empty());
    REQUIRE(w.asked.size() == 1);
    CHECK(w.asked[0].key == "registry.ollama.ai/library/fresh:latest");
    CHECK(w.asked[0].model == "fresh:latest");
    CHECK(w.asked[0].wishes.labels == std::vector<std::string>{"eu"});
    CHECK(w.asked[0].generates);
    w.arrives();
    CHECK(starts(w.read(), "200"));
    REQUIRE(w.records.size() == 1);
    CHECK(w.records[0].termination == "--");
    CHECK(w.records[0].model == "fresh:latest");
    CHECK(w.records[0].queue >= 20s);
    REQUIRE(w.records[0].decision);
    CHECK(w.records[0].decision->note.starts_with("no node had the model: it was pulled"));
    CHECK(w.waits[0].expired());
}

TEST_CASE("on all three families of paths, and only where something is to be run")
{
    for (const auto* path : {"/api/generate", "/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/embed", "/v1/embeddings"}) {
        Pulled w;
        INFO(path);
        CHECK(w.post(path, R"({"model":"fresh","stream":false,"prompt":"x","input":"x","max_tokens":1,"messages":[{"role":"user","content":"x"}]})").empty());
        REQUIRE(w.asked.size() == 1);
        CHECK(w.asked[0].generates == (std::string_view(path).find("embed") == std::string_view::npos));
        w.arrives();
        CHECK(starts(w.read(), "200"));
    }
    Pulled w;
    CHECK(starts(w.post("/api/show", R"({"model":"fresh"})"), "404"));
    CHECK(starts(w.post("/v1/messages/count_tokens", R"({"model":"fresh","messages":[{"role":"user","content":"x"}]})"), "200"));
    CHECK(w.asked.empty());
}

TEST_CASE("a model that is not on the list, a cloud's, or one that is there is not asked for")
{
    {
        Pulled w;
        CHECK(body_of(w.post("/api/chat", R"({"model":"other","messages":[]})")) == R"({"error":"model 'other' not found"})");
        CHECK(starts(w.post("/api/chat", R"({"model":"fresh:cloud","messages":[]})"), "404"));
        w.books.refusal = fleet::Refusal{{base::Errc::no_node}, {}};
        CHECK(starts(w.post("/api/chat", chat), "503"));
        CHECK(w.asked.empty());
    }
    Pulled off({});
    CHECK(body_of(off.post("/api/chat", chat)) == exactly);
    CHECK(off.asked.empty());
}

TEST_CASE("why it was not pulled is told with the 404; without a reason it is the 404 of ever")
{
    Pulled w;
    CHECK(w.post("/api/chat", chat).empty());
    w.tell(base::fail(base::Errc::no_such_model, "pulling it to n1 failed: file does not exist"));
    auto got = w.read();
    CHECK(starts(got, "404"));
    CHECK(body_of(got) == R"({"error":"model 'fresh' not found; pulling it to n1 failed: file does not exist"})");
    REQUIRE(w.records.size() == 1);
    CHECK(w.records[0].termination == "PS");
    CHECK(w.records[0].error.ends_with("file does not exist"));
    CHECK(w.post("/v1/chat/completions", chat).empty());
    w.tell(base::fail(base::Errc::no_such_model, "no"));
    got = w.read();
    CHECK(starts(got, "404"));
    CHECK(body_of(got).find(R"("code":"model_not_found")") != std::string::npos);
    CHECK(w.post("/api/chat", chat).empty());
    w.tell(base::fail(base::Errc::no_such_model));
    CHECK(body_of(w.read()) == exactly);
    CHECK(w.post("/api/chat", chat).empty());
    w.tell(base::fail(base::Errc::queue_full, "too many"));
    got = w.read();
    CHECK(starts(got, "429"));
    CHECK(field_of(got, "Retry-After") == "30");
}

TEST_CASE("it waits no longer than auto_pull_timeout, nor than its own deadline")
{
    Pulled w;
    CHECK(w.post("/api/chat", chat, {}, 99s).empty());
    w.settle(2s);
    auto got = w.read();
    CHECK(starts(got, "504"));
    CHECK(field_of(got, "Retry-After") == "30");
    CHECK(body_of(got) == R"({"error":"model 'fresh' is on no node yet: it is being pulled, which goes on"})");
    CHECK(w.waits[0].expired());
    CHECK(w.post("/api/chat", chat, "X-Herd-Deadline: 3\r\n", 2s).empty());
    w.settle(2s);
    CHECK(starts(w.read(), "504"));
    REQUIRE(w.records.size() == 2);
    CHECK(w.records[1].termination == "TQ");
}

TEST_CASE("a client that leaves waits no more")
{
    Pulled w;
    CHECK(w.post("/api/chat", chat).empty());
    w.client.reset();
    w.settle();
    CHECK(w.waits[0].expired());
    REQUIRE(w.records.size() == 1);
    CHECK(w.records[0].termination == "CQ");
    w.arrives(); // nobody hears it
}

TEST_CASE("an operator ends the wait")
{
    Pulled w;
    CHECK(w.post("/api/chat", chat).empty());
    w.proxy->cancel_all("herd was stopped");
    w.settle();
    CHECK(starts(w.read(), "503"));
    CHECK(w.waits[0].expired());
}

TEST_CASE("an event stream hears how far the pull is")
{
    auto options = pulling();
    options.early_head = 10s;
    Pulled w(options);
    {
        PullMemory::Mark mark(w.shared->pulls, "registry.ollama.ai/library/fresh:latest", w.node(0).id);
        CHECK(w.post("/v1/chat/completions", streamed, {}, 10100ms).find(": pulling fresh:latest on n1\n\n") != std::string::npos);
        mark.progress(42);
        w.settle(10s);
        CHECK(w.read().find(": pulling fresh:latest on n1, 42 %\n\n") != std::string::npos);
    }
    w.tell(base::fail(base::Errc::no_such_model, "no"));
    const auto got = w.read();
    CHECK(got.find(R"(not found; no)") != std::string::npos);
    CHECK(got.find("model_not_found") != std::string::npos);
}
