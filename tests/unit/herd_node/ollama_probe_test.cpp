// Ollama from outside: its API's answers, its process, its runners.
#include "support/catch.hpp"

#include "box.hpp"
#include "herd-node/probes/ollama_api.hpp"
#include "herd-node/probes/ollama_process.hpp"

using namespace herd;
using namespace herd::node;
using namespace std::string_literals;
using test::Box;
using test::recorded;

namespace {

/// Arguments as the kernel shows them.
std::string pieces(std::initializer_list<const char*> words)
{
    std::string text;
    for (const char* word : words) {
        text += word;
        text += '\0';
    }
    return text;
}

const std::string blob_a = "sha256-ec3f2991c9f26cef323d65dd5f785dec74da7de5aca6ea806dba92eddfc1a73c";

/// The pair of processes that an Ollama 0.11.4 with one model shows, serving port 0x53BA = 21434.
void add_ollama(const Box& box)
{
    box.file("proc/net/tcp", recorded("ollama-0.11-tcp.txt"));
    box.file("proc/1/cmdline", pieces({"/sbin/init"}));
    box.file("proc/1/stat", "1 (init) S 0 1 1 0 -1\n");
    box.file("proc/13542/cmdline", pieces({"/usr/bin/ollama", "serve"}));
    box.file("proc/13542/stat", "13542 (ollama) S 1 13542 13542 0 -1\n");
    box.file("proc/13542/environ",
             pieces({"HOME=/var/lib/ollama", "OLLAMA_NUM_PARALLEL=2", "AWS_SECRET_ACCESS_KEY=hush"}));
    box.link("proc/13542/fd/0", "/dev/null");
    box.link("proc/13542/fd/3", "socket:[23338]");
    box.file("proc/13564/cmdline",
             pieces({"/usr/bin/ollama", "runner", "--model", "/models/blobs/sha256-ec3f", "--ctx-size",
                     "8192", "--parallel", "2", "--port", "34093"}));
    box.file("proc/13564/stat", "13564 (a (strange) name) S 13542 13542 13542 0 -1\n");
}

} // namespace

TEST_CASE("a version is one word")
{
    CHECK(parse_version(R"({"version":"0.11.4"})").value() == "0.11.4");
    CHECK_FALSE(parse_version(R"({"version":4})"));
    CHECK_FALSE(parse_version(R"({"version":""})"));
    CHECK_FALSE(parse_version("404 page not found"));
    CHECK_FALSE(parse_version(""));
}

TEST_CASE("loaded models keep their own row, verbatim")
{
    const auto now = parse_rfc3339("2026-11-20T16:48:44.29281391Z");
    REQUIRE(now);
    const auto loaded = parse_ps(recorded("ollama-0.11-ps.json"), *now);
    REQUIRE(loaded);
    REQUIRE(loaded->size() == 2);
    const auto& tiny = loaded->front();
    CHECK(tiny.name == "tiny:latest");
    CHECK(tiny.digest == "f14b9e15156130f23c0380e16767df9a8ece3e4f20ba350351433c8f87f134b8");
    CHECK(tiny.size == 91268096);
    CHECK(tiny.size_vram == 0);
    CHECK(tiny.context_length == 4096);
    CHECK(tiny.unload_in_s == 300);
    const auto text = recorded("ollama-0.11-ps.json");
    CHECK(text.find(tiny.row) != std::string::npos);
    CHECK(tiny.row.starts_with(R"({"name":"tiny:latest","model")"));
    CHECK(tiny.row.ends_with("}"));
}

TEST_CASE("models on disk are read with their rows")
{
    const auto models = parse_tags(recorded("ollama-0.11-tags.json"));
    REQUIRE(models);
    REQUIRE(models->size() == 2);
    CHECK(models->back().name == "tinyembed:latest");
    CHECK(models->back().size == 292391);
    CHECK(models->back().modified_at == "2026-11-20T16:43:43.840396525Z");
    CHECK(models->back().row.ends_with("}}"));
}

TEST_CASE("a list may be empty or null, but must be a list of objects")
{
    CHECK(parse_tags(R"({"models":[]})").value().empty());
    CHECK(parse_tags(R"({"models":null})").value().empty());
    CHECK_FALSE(parse_tags(R"({"models":{}})"));
    CHECK_FALSE(parse_tags(R"({"models":[1]})"));
    CHECK_FALSE(parse_tags(R"({})"));
    CHECK_FALSE(parse_tags(R"([])"));
    CHECK_FALSE(parse_tags("<html>"));
    CHECK_FALSE(parse_tags(R"({"models":[{"name":"a","bad":tru}]})"));
    CHECK_FALSE(parse_tags(R"({"models":[{"name":"a")"));
    CHECK(parse_tags(R"({"models":[{"name":""},{"digest":"x"}]})").value().empty());
}

TEST_CASE("keep_alive -1 is never, and a past time is now")
{
    const auto now = parse_rfc3339("2026-11-20T00:00:00Z");
    REQUIRE(now);
    const auto row = [](const std::string& when) {
        return R"({"models":[{"name":"a","expires_at":")" + when + R"("}]})";
    };
    CHECK_FALSE(parse_ps(row("2318-03-09T17:12:55.1+01:00"), *now).value()[0].unload_in_s);
    CHECK(parse_ps(row("2026-11-19T23:00:00Z"), *now).value()[0].unload_in_s == 0);
    CHECK(parse_ps(row("2026-11-20T02:00:30.5+02:00"), *now).value()[0].unload_in_s == 30);
    CHECK(parse_ps(row("2026-11-19T17:00:30-07:00"), *now).value()[0].unload_in_s == 30);
    CHECK_FALSE(parse_ps(row("soon"), *now).value()[0].unload_in_s);
}

TEST_CASE("a time is RFC 3339 or nothing")
{
    CHECK(parse_rfc3339("1970-01-01T00:00:01Z")->time_since_epoch() == std::chrono::seconds{1});
    CHECK(parse_rfc3339("1970-01-01T00:00:00.000001Z")->time_since_epoch() == std::chrono::microseconds{1});
    for (const char* bad :
         {"", "2026", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z",
          "2026-01-01T00:00:00", "2026-01-01T00:00:00+1:00", "2026-01-01T00:00:00Zjunk"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_rfc3339(bad));
    }
}

TEST_CASE("a model's weights file comes out of its modelfile, not out of its comments")
{
    CHECK(parse_show_blob(recorded("ollama-0.11-show.json")) == blob_a);
    CHECK_FALSE(parse_show_blob(R"({"modelfile":"# FROM sha256-x\nFROM tiny:latest\n"})"));
    CHECK_FALSE(parse_show_blob(R"({"modelfile":7})"));
    CHECK_FALSE(parse_show_blob("nonsense"));
}

TEST_CASE("what a token of context takes is told by the model's metadata, or not at all")
{
    const auto show = [](const std::string& info) { return R"({"modelfile":"","model_info":)" + info + "}"; };
    const std::string llama = R"("general.architecture":"llama","llama.block_count":32,"llama.attention.head_count":32,)"
                              R"("llama.embedding_length":4096)";
    CHECK(parse_show_cache(show("{" + llama + R"(,"llama.attention.head_count_kv":8})")) == 128 * base::kib);
    CHECK(parse_show_cache(show("{" + llama + "}")) == 512 * base::kib); // as many as heads
    CHECK(parse_show_cache(show("{" + llama + R"(,"llama.attention.head_count_kv":8,"llama.attention.key_length":64,"llama.attention.value_length":64})"))
          == 64 * base::kib);
    for (const char* bad : {"{}", "[]", "7", "null", R"({"general.architecture":7})", R"({"general.architecture":"llama"})",
                            R"({"general.architecture":"llama","llama.block_count":99999999999,"llama.attention.head_count":1,"llama.embedding_length":1})",
                            R"({"general.architecture":"llama","llama.block_count":-3,"llama.attention.head_count":1,"llama.embedding_length":1})",
                            R"({"general.architecture":"llama","llama.block_count":16777216,"llama.attention.head_count":16777216,"llama.embedding_length":16777216})"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_show_cache(show(bad)));
    }
    CHECK_FALSE(parse_show_cache("nonsense"));
    CHECK_FALSE(parse_show_cache("{}"));
}

TEST_CASE("slots are counted, never read")
{
    const auto slots = parse_slots(recorded("llama-server-slots.json"));
    REQUIRE(slots);
    CHECK(slots->total == 3);
    CHECK(slots->busy == 1);
    CHECK(parse_slots(R"([{"id":0,"state":1},{"id":1,"state":0}])")->busy == 1);
    CHECK_FALSE(parse_slots(R"({"error":"no"})"));
    CHECK_FALSE(parse_slots("[1]"));
}

TEST_CASE("of an environment only Ollama's serving settings are taken")
{
    const auto settings = parse_environ(
        pieces({"OLLAMA_NUM_PARALLEL=4", "OLLAMA_MAX_LOADED_MODELS=\"2\"", "OLLAMA_MAX_QUEUE=512",
                "OLLAMA_CONTEXT_LENGTH=32768", "OLLAMA_KEEP_ALIVE=-1", "OLLAMA_HOST=0.0.0.0", "SECRET=1"}));
    CHECK(settings.num_parallel == 4);
    CHECK(settings.max_loaded_models == 2);
    CHECK(settings.max_queue == 512);
    CHECK(settings.context_length == 32768);
    CHECK(settings.keep_alive == "-1");
    CHECK(parse_environ(pieces({"OLLAMA_NUM_PARALLEL=0", "OLLAMA_KEEP_ALIVE=$(reboot)", "OLLAMA_MAX_QUEUE"}))
          == OllamaSettings{});
    CHECK(parse_environ(pieces({"OLLAMA_NUM_PARALLEL=99999999999999999999"})) == OllamaSettings{});
}

TEST_CASE("runners of both generations tell slots, context, port and weights")
{
    const auto old = parse_runner(
        pieces({"/usr/bin/ollama", "runner", "--model", ("/m/blobs/" + blob_a).c_str(), "--ctx-size", "8192",
                "--batch-size", "512", "--no-mmap", "--parallel", "2", "--port", "34093"}));
    REQUIRE(old);
    CHECK(old->slots == 2);
    CHECK(old->context == 8192);
    CHECK(old->port == 34093);
    CHECK(old->blob == blob_a);
    CHECK_FALSE(old->llama_server);

    const auto server =
        parse_runner(pieces({"/usr/lib/ollama/llama-server", "--model", "/m/blobs/sha256-ab", "--port=5555",
                             "--host", "127.0.0.1", "-c", "16384", "-np", "4"}));
    REQUIRE(server);
    CHECK(server->slots == 4);
    CHECK(server->port == 5555);
    CHECK(server->llama_server);

    CHECK_FALSE(parse_runner(pieces({"/usr/bin/ollama", "serve"})));
    CHECK_FALSE(parse_runner(""));
    CHECK_FALSE(parse_runner(pieces({"llama-server", "-np", "-1"}))->slots);
    CHECK_FALSE(parse_runner(pieces({"llama-server", "-np"}))->slots);
}

TEST_CASE("the models' directory is OLLAMA_MODELS, else under HOME, else not known")
{
    CHECK(parse_models_directory(pieces({"HOME=/root", "OLLAMA_MODELS=/data/models"})) == "/data/models");
    CHECK(parse_models_directory(pieces({"HOME=/usr/share/ollama", "PATH=/bin"})) == "/usr/share/ollama/.ollama/models");
    CHECK(parse_models_directory(pieces({"OLLAMA_MODELS=relative"})).empty());
    CHECK(parse_models_directory("").empty());
}

TEST_CASE("listening sockets are found by port, connections are not")
{
    const auto text = recorded("ollama-0.11-tcp.txt");
    CHECK(parse_listeners(text, 0x53BA) == std::vector<std::uint64_t>{23338});
    CHECK(parse_listeners(text, 11436) == std::vector<std::uint64_t>{23339});
    CHECK(parse_listeners(text, 80).empty());
    CHECK(parse_listeners("", 80).empty());
}

TEST_CASE("a server on loopback alone is told from one that others reach")
{
    const Box box;
    box.file("proc/net/tcp", recorded("ollama-0.11-tcp.txt"));
    CHECK(loopback_only(0x53BA, box.root()));
    CHECK_FALSE(loopback_only(11436, box.root()));
    CHECK_FALSE(loopback_only(80, box.root()));
    box.file("proc/net/tcp6",
             "head\n 0: 00000000000000000000000001000000:53BA 00000000000000000000000000000000:0000 0A 0 0 0 "
             "0 0 99\n");
    CHECK_FALSE(loopback_only(11436, box.root()));
    box.file("proc/net/tcp6",
             "head\n 0: 00000000000000000000000000000000:53BA 00000000000000000000000000000000:0000 0A a:b "
             "c:d 0 0 0 99\n");
    CHECK_FALSE(loopback_only(0x53BA, box.root()));
}

TEST_CASE("the serving Ollama and its runners are found by the socket it holds")
{
    const Box box;
    add_ollama(box);
    // Another Ollama on the box, with another socket.
    box.file("proc/900/cmdline", pieces({"ollama", "serve"}));
    box.file("proc/900/stat", "900 (ollama) S 1 900 900 0 -1\n");
    box.link("proc/900/fd/3", "socket:[777]");
    const auto found = find_ollama(0x53BA, box.root());
    REQUIRE(found);
    CHECK(found->pid == 13542);
    REQUIRE(found->settings);
    CHECK(found->settings->num_parallel == 2);
    REQUIRE(found->runners.size() == 1);
    CHECK(found->runners[0].pid == 13564);
    CHECK(found->runners[0].slots == 2);
    CHECK_FALSE(found->disk);
    box.file("root/.ollama/models/blobs/x", "");
    box.file("home/me/.ollama/models/blobs/x", "");
    box.file("usr/share/ollama/.ollama/models/blobs/x", "");
    box.file("proc/13542/environ", pieces({"HOME=/home/me"}));
    const auto again = find_ollama(0x53BA, box.root());
    REQUIRE((again && again->disk));
    CHECK(again->disk->total >= again->disk->free);
}

TEST_CASE("without readable descriptors the only Ollama on the box is taken, one of two is not")
{
    const Box box;
    add_ollama(box);
    box.remove("proc/13542/fd");
    box.remove("proc/13542/environ");
    const auto only = find_ollama(0x53BA, box.root());
    REQUIRE(only);
    CHECK(only->pid == 13542);
    CHECK_FALSE(only->settings);
    CHECK(only->runners.size() == 1);

    box.file("proc/900/cmdline", pieces({"ollama", "serve"}));
    CHECK_FALSE(find_ollama(0x53BA, box.root()));
}

TEST_CASE("the only Ollama on the box is not taken when it is seen to serve another port, unless in a container")
{
    const Box box;
    box.file("proc/900/cmdline", pieces({"ollama", "serve"}));
    box.file("proc/900/stat", "900 (ollama) S 1 900 900 0 -1\n");
    box.link("proc/900/fd/3", "socket:[777]");
    box.link("proc/self/ns/net", "net:[1]");
    box.link("proc/900/ns/net", "net:[1]");
    CHECK_FALSE(find_ollama(11434, box.root()));
    box.remove("proc/900/ns/net");
    box.link("proc/900/ns/net", "net:[2]");
    CHECK(find_ollama(11434, box.root()));
}

TEST_CASE("no Ollama process is nothing special")
{
    const Box box;
    CHECK_FALSE(find_ollama(11434, box.root()));
}
