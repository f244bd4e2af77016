// The verbs against a small real server.
#include "cli/output.hpp"
#include "cli/process_end.hpp"
#include "herd/cli/verbs.hpp"

#include "support/catch.hpp"
#include "unit/store/scratch.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>

#include <httplib.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

using namespace herd;

namespace {

/// Remembers what it was asked; answers what the test set.
class FakeHerd {
public:
    FakeHerd()
    {
        const auto remember = [this](const httplib::Request& request, httplib::Response& response) {
            const std::lock_guard lock(mutex_);
            seen_.push_back(request.method + " " + request.target
                            + (request.body.empty() ? "" : " " + request.body));
            key_ = request.get_header_value("Authorization");
            lengths_max_ = std::max(lengths_max_, request.get_header_value_count("Content-Length"));
            response.status = status_;
            response.set_content(body_, "application/json");
            if (request.path == "/herd/v1/stop" && status_ == 202) {
                server_.stop();
            }
        };
        server_.Get(".*", remember);
        server_.Post(".*", remember);
        server_.Delete(".*", remember);
        port_ = server_.bind_to_any_port("127.0.0.1");
        thread_ = std::thread([this] { server_.listen_after_bind(); });
        while (!server_.is_running()) { // stop() before that would be forgotten
            std::this_thread::yield();
        }
    }
    FakeHerd(const FakeHerd&) = delete;
    FakeHerd& operator=(const FakeHerd&) = delete;
    ~FakeHerd()
    {
        server_.stop();
        thread_.join();
    }
    void answers(int status, std::string body)
    {
        const std::lock_guard lock(mutex_);
        status_ = status;
        body_ = std::move(body);
    }
    [[nodiscard]] std::vector<std::string> seen()
    {
        const std::lock_guard lock(mutex_);
        return seen_;
    }
    [[nodiscard]] std::string key()
    {
        const std::lock_guard lock(mutex_);
        return key_;
    }
    /// More than one Content-Length in a request is refused by every strict server, ours included.
    [[nodiscard]] std::size_t lengths_max()
    {
        const std::lock_guard lock(mutex_);
        return lengths_max_;
    }
    [[nodiscard]] config::BackendUrl url() const { return {.port = static_cast<std::uint16_t>(port_)}; }

private:
    httplib::Server server_;
    std::mutex mutex_;
    std::vector<std::string> seen_;
    std::string key_;
    std::size_t lengths_max_{0};
    int status_{200};
    std::string body_{"{}"};
    int port_{0};
    std::thread thread_;
};

struct Outcome {
    int code{0};
    std::string out{};
    std::string err{};
};

Outcome run(const app::Verb& verb)
{
    std::ostringstream out;
    std::ostringstream err;
    const base::SystemClock clock;
    const int code = app::run_verb(verb, {out, err, false}, clock);
    return {code, out.str(), err.str()};
}

} // namespace

TEST_CASE("each verb asks its route and prints the answer")
{
    FakeHerd herd;
    herd.answers(200, R"({"version":"9","nodes":[],"models":[]})");
    const auto verb = [&](std::string name, std::vector<std::string> words = {}) {
        return app::Verb{
            .name = std::move(name), .words = std::move(words), .url = herd.url(), .key = "secret"};
    };
    CHECK(run(verb("status")).out.starts_with("herd 9 at http://127.0.0.1:"));
    CHECK(herd.key() == "Bearer secret");
    CHECK(run(verb("nodes")).code == 0);
    CHECK(run(verb("models")).code == 0);
    CHECK(run(verb("ps")).out == "No model is in memory.\n");
    CHECK(run(verb("drain", {"gpu 1/ü"})).out.find("gpu 1/ü finishes what it runs") == 0);
    CHECK(run(verb("resume", {"gpu-1"})).out == "gpu-1 takes requests again\n");
    CHECK(run(verb("reload")).out == "reloaded\n");
    CHECK(run(verb("nodes", {"remove", "attic"})).out == "removed attic\n");
    auto add = verb("nodes", {"add", "http://a:1"});
    add.node_name = "n";
    add.labels = {"eu"};
    CHECK(run(add).out == "added http://a:1\n");
    CHECK(run(verb("route", {"m"})).code == 0);
    CHECK(run(verb("why", {"a/b"})).code == 0);
    CHECK(herd.lengths_max() == 1);
    CHECK(herd.seen()
          == std::vector<std::string>{
              "GET /herd/v1/status", "GET /herd/v1/nodes", "GET /herd/v1/models", "GET /api/ps",
              "POST /herd/v1/nodes/gpu%201%2F%C3%BC/drain", "POST /herd/v1/nodes/gpu-1/resume",
              "POST /herd/v1/reload", "DELETE /herd/v1/nodes/attic",
              R"(POST /herd/v1/nodes {"labels":["eu"],"name":"n","url":"http://a:1"})",
              R"(POST /herd/v1/route {"model":"m"})", "GET /herd/v1/requests/a%2Fb"});
}

TEST_CASE("herd fleet-key new writes where the herd that runs here keeps its state, and fails while that does not use it")
{
    const test::Scratch theirs;
    const test::Scratch ours;
    FakeHerd herd;
    const auto type = [&] {
        auto verb = app::Verb{.name = "fleet-key", .words = {"new"}, .url = herd.url(), .json = true};
        verb.state_dir = ours.path.string();
        verb.key_file = ours.file("fleet.key");
        return run(verb);
    };
    const std::string state = R"({"state_dir":{"value":")" + theirs.path.string() + R"("},"discovery.join":{"value":"key"})";
    herd.answers(200, state + "}"); // it has no key, and takes none
    const auto unused = type();
    CHECK(unused.code == 1);
    CHECK(unused.out.find("does not use this file") != std::string::npos);
    CHECK(unused.out.find('?') == std::string::npos); // nothing that cannot be shown
    CHECK(std::filesystem::exists(theirs.file("fleet.key")));
    CHECK_FALSE(std::filesystem::exists(ours.file("fleet.key")));
    herd.answers(200, state + R"(,"discovery.fleet_key_file":{"value":")" + theirs.file("another.key") + R"("}})");
    const auto used = type();
    CHECK(used.code == 0);
    CHECK(used.out.find("works with it now") != std::string::npos);
    CHECK(std::filesystem::exists(theirs.file("another.key")));
}

TEST_CASE("herd route sends a body from a file")
{
    FakeHerd herd;
    auto route = app::Verb{.name = "route", .words = {"m"}, .url = herd.url()};
    const std::string path = std::filesystem::temp_directory_path() / ("herd_route_" + std::to_string(::getpid()));
    std::ofstream(path) << R"({"prompt":"x"})";
    route.body_file = path;
    CHECK(run(route).code == 0);
    CHECK(herd.seen() == std::vector<std::string>{R"(POST /herd/v1/route {"model":"m","prompt":"x"})"});
    route.path = "/v1/messages";
    CHECK(run(route).code == 0);
    CHECK(herd.seen().back() == R"(POST /herd/v1/route {"model":"m","path":"/v1/messages","prompt":"x"})");
    std::ofstream(path) << "no JSON";
    CHECK(run(route).err == "herd: " + path + ": the body is not a JSON object\n");
    std::filesystem::remove(path);
    CHECK(run(route).err == "herd: cannot open " + path + "\n");
}

TEST_CASE("--json prints the answer as it is")
{
    FakeHerd herd;
    herd.answers(200, R"({"x": 1})");
    const auto outcome = run({.name = "status", .url = herd.url(), .json = true});
    CHECK(outcome.code == 0);
    CHECK(outcome.out == "{\"x\": 1}\n");
    herd.answers(404, R"({"error":"no such node"})");
    const auto failed = run({.name = "drain", .words = {"x"}, .url = herd.url(), .json = true});
    CHECK(failed.code == 1);
    CHECK(failed.out == "{\"error\":\"no such node\"}\n");
}

TEST_CASE("herd top --json prints each answer behind the picture as it is")
{
    FakeHerd herd;
    herd.answers(200, R"({"x": 1})");
    const auto outcome = run({.name = "top", .url = herd.url(), .json = true});
    CHECK(outcome.code == 0);
    CHECK(outcome.out == "{\"status\":{\"x\": 1},\"nodes\":{\"x\": 1},\"in_flight\":{\"x\": 1},\"requests\":{\"x\": 1}}\n");
    herd.answers(401, R"({"error":"a key is needed"})");
    CHECK(run({.name = "top", .url = herd.url(), .json = true}).code == 1);
}

TEST_CASE("an answer that could not be written is a failure, a reader that left is none")
{
    std::ostringstream err;
    const auto finished = [&err](std::FILE* out, int code, int buffering = _IOFBF) {
        REQUIRE(out != nullptr);
        std::setvbuf(out, nullptr, buffering, 4096);
        for (int i = 0; i < 1000; ++i) { // more than one buffer: some of it fails before the end
            std::fputs("a line of the answer\n", out);
        }
        err.str("");
        const int exit = cli::finish_output(out, code, "herd", err);
        std::fclose(out);
        return exit;
    };
    CHECK(finished(std::fopen("/dev/full", "w"), 0) == 1);
    CHECK(err.str() == "herd: cannot write to standard output: No space left on device\n");
    CHECK(finished(std::fopen("/dev/full", "w"), 2) == 2);
    CHECK(finished(std::fopen("/dev/full", "w"), 0, _IONBF) == 1); // nothing is left to fail at the end
    CHECK(err.str() == "herd: cannot write to standard output\n");
    CHECK(finished(std::fopen("/dev/null", "w"), 0) == 0);
    CHECK(err.str().empty());
    auto* const before = std::signal(SIGPIPE, SIG_IGN);
    for (const int buffering : {_IOFBF, _IONBF}) {
        std::array<int, 2> ends{};
        REQUIRE(::pipe(ends.data()) == 0);
        ::close(ends[0]);
        CHECK(finished(::fdopen(ends[1], "w"), 0, buffering) == 0);
        CHECK(err.str().empty());
    }
    (void)std::signal(SIGPIPE, before);
}

TEST_CASE("refusals are told in the server's words")
{
    FakeHerd herd;
    const auto err_of = [&](int status, const std::string& body) {
        herd.answers(status, body);
        const auto outcome = run({.name = "drain", .words = {"x"}, .url = herd.url()});
        CHECK(outcome.code == 1);
        CHECK(outcome.out.empty());
        return outcome.err;
    };
    CHECK(err_of(404, R"({"error":"no node is called x"})") == "herd: no node is called x\n");
    CHECK(err_of(401, R"({"error":"unauthorized"})").find("wants a key: pass --key") != std::string::npos);
    CHECK(err_of(404, "404 page not found").find("is not a herd (status 404)") != std::string::npos);
    herd.answers(200, "Ollama is running");
    CHECK(run({.name = "status", .url = herd.url()}).err.find("is that a herd?") != std::string::npos);
}

TEST_CASE("when no herd answers, the message says what to do")
{
    config::BackendUrl url;
    {
        FakeHerd herd;
        url = herd.url(); // a port that was free a moment ago
    }
    const auto outcome = run({.name = "status", .url = url});
    CHECK(outcome.code == 1);
    CHECK(outcome.err
          == "herd: no herd answers at " + url.text()
              + ": start it with `herd`, or name another with --url\n");
}

TEST_CASE("herd stop returns when the port is closed")
{
    FakeHerd herd;
    herd.answers(202, R"({"status":"stopping"})");
    const auto outcome = run({.name = "stop", .url = herd.url()});
    CHECK(outcome.code == 0);
    CHECK(outcome.out == "stopped\n");
}

TEST_CASE("herd stop also waits for the process, when herd tells its pid")
{
    const ::pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::execlp("sleep", "sleep", "0.3", nullptr);
        ::_exit(1);
    }
    FakeHerd herd;
    herd.answers(202, R"({"status":"stopping","pid":)" + std::to_string(child) + "}");
    CHECK(run({.name = "stop", .url = herd.url()}).out == "stopped\n");
    CHECK(::waitpid(child, nullptr, WNOHANG) == child); // ended before the verb returned
    CHECK(cli::ProcessEnd(0).wait(std::chrono::seconds{1}));
}

TEST_CASE("pull prints each status once, and an error in the stream is a failure")
{
    FakeHerd herd;
    app::Verb pull{.name = "pull", .words = {"m"}, .url = herd.url(), .key = "secret"};
    herd.answers(200, "{\"status\":\"pulling manifest\"}\n{\"status\":\"pulling 74\",\"total\":4,\"completed\":1}\n"
                      "{\"status\":\"pulling 74\",\"total\":4,\"completed\":4}\n{\"status\":\"success\"}\n");
    const auto good = run(pull);
    CHECK(good.code == 0);
    CHECK(good.out == "pulling manifest\npulling 74\nsuccess\n");
    CHECK(herd.seen().back() == "POST /api/pull {\"model\":\"m\"}");
    CHECK(herd.key() == "Bearer secret");
    herd.answers(200, "{\"status\":\"pulling manifest\"}\n{\"error\":\"file does not exist\"}");
    const auto bad = run(pull);
    CHECK(bad.code == 1);
    CHECK(bad.err == "herd: file does not exist\n");
    herd.answers(200, "{\"status\":\"pulling manifest\"}\n");
    CHECK(run(pull).err == "herd: the pull ended without success\n");
    herd.answers(404, R"({"error":"no such node"})");
    CHECK(run(pull).err == "herd: no such node\n");
}

TEST_CASE("rm deletes and says where")
{
    FakeHerd herd;
    app::Verb rm{.name = "rm", .words = {"m"}, .url = herd.url()};
    herd.answers(200, "");
    CHECK(run(rm).out == "deleted m from every node that had it\n");
    CHECK(herd.seen().back() == "DELETE /api/delete {\"model\":\"m\"}");
    rm.node = "n1";
    CHECK(run(rm).out == "deleted m from n1\n");
    herd.answers(404, R"({"error":"model 'm' not found"})");
    CHECK(run(rm).err == "herd: model 'm' not found\n");
    herd.answers(409, R"({"error":"model 'm' is pinned: unpin it first, or send \"force\": true"})");
    CHECK(run(rm).err == "herd: model 'm' is pinned: unpin it first, or send \"force\": true (herd rm --force)\n");
    rm.force = true;
    herd.answers(200, "");
    CHECK(run(rm).code == 0);
    CHECK(herd.seen().back() == R"(DELETE /api/delete {"force":true,"model":"m"})");
    rm.all = true;
    CHECK(app::check_words(rm) == "--node and --all exclude each other");
}
