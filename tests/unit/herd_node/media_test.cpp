// Tools beside the node: what a request says, how a tool is called, what is told of it.
#include "support/catch.hpp"

#include "fleet/tool.hpp"
#include "herd-node/media/tools.hpp"

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

using namespace herd;
using namespace herd::node;

namespace {

ImageRequest request_of(std::string_view body, proxy::Dialect dialect = proxy::Dialect::ollama)
{
    const auto request = parse_image_request(body, dialect);
    INFO(body << " " << (request ? "" : request.error()));
    REQUIRE(request);
    return *request;
}

std::string fault_of(std::string_view body, proxy::Dialect dialect = proxy::Dialect::ollama)
{
    const auto request = parse_image_request(body, dialect);
    INFO(body);
    REQUIRE_FALSE(request);
    return request.error();
}

} // namespace

TEST_CASE("a request for an image has defaults, and what it says counts")
{
    const auto plain = request_of(R"({"model":"m","prompt":"a cat"})");
    CHECK(std::tuple(plain.width, plain.height, plain.steps, plain.quantize) == std::tuple(1024, 1024, 4, 8));
    CHECK_FALSE((plain.seed || plain.guidance));
    const auto full = request_of(R"({"model":"m","prompt":"a","width":64,"height":4096,"steps":200,"seed":0,"guidance":3.5,"quantize":4,"negative_prompt":"b"})");
    CHECK(std::tuple(full.width, full.height, full.steps, full.quantize) == std::tuple(64, 4096, 200, 4));
    CHECK(full.seed == 0U);
    CHECK(full.guidance == 3.5);
    CHECK(full.negative_prompt == "b");
    CHECK(request_of(R"({"model":"m","prompt":"a","seed":null,"width":null})").width == 1024);
    const auto openai = request_of(R"({"model":"m","prompt":"a","size":"512x768","n":1,"response_format":"b64_json"})", proxy::Dialect::openai);
    CHECK(std::pair(openai.width, openai.height) == std::pair(512, 768));
    CHECK(request_of(R"({"model":"m","prompt":"a","size":"auto"})", proxy::Dialect::openai).width == 1024);
}

TEST_CASE("what is wrong with a request for an image is said in a sentence")
{
    CHECK(fault_of("[]") == "the body must be a JSON object");
    CHECK(fault_of("{") == "the body must be a JSON object");
    CHECK(fault_of(R"({"prompt":"a"})") == "model is required");
    CHECK(fault_of(R"({"model":"m","prompt":""})") == "prompt is required");
    CHECK(fault_of(R"({"model":"m","prompt":5})") == "prompt must be a string");
    CHECK(fault_of(R"({"model":"m","prompt":"a\u0000b"})") == "prompt must not contain the character U+0000");
    CHECK(fault_of(R"({"model":"m","prompt":")" + std::string(20'000, 'x') + R"("})") == "prompt has at most 16384 bytes");
    for (const auto* width : {"63", "4097", "\"512\"", "512.0", "1e3", "true", "99999999999999999999", "-1"}) {
        CHECK(fault_of(std::string(R"({"model":"m","prompt":"a","width":)") + width + "}") == "width must be a whole number from 64 to 4096");
    }
    CHECK(fault_of(R"({"model":"m","prompt":"a","steps":0})") == "steps must be a whole number from 1 to 200");
    CHECK(fault_of(R"({"model":"m","prompt":"a","seed":-1})") == "seed must be a whole number from 0 to 4294967295");
    CHECK(fault_of(R"({"model":"m","prompt":"a","guidance":"x"})") == "guidance must be a number from 0 to 100");
    for (const auto* size : {"1024", "1024x", "x", "1024x1024x1", "1e3x5", "0x0", "-64x64", " 64x64"}) {
        CHECK(fault_of(std::string(R"({"model":"m","prompt":"a","size":")") + size + "\"}", proxy::Dialect::openai).starts_with("size must be"));
    }
    CHECK(fault_of(R"({"model":"m","prompt":"a","n":2})", proxy::Dialect::openai).starts_with("n must be 1"));
    CHECK(fault_of(R"({"model":"m","prompt":"a","response_format":"url"})", proxy::Dialect::openai).starts_with("response_format must be b64_json"));
}

TEST_CASE("a command is filled for a request; what that does not say is left out with its flag")
{
    const std::vector<std::string> command{"tool", "--prompt", "{prompt}", "-n", "{negative_prompt}", "--size={width}x{height}", "--seed={seed}",
                                           "--cfg", "{guidance}", "--fast", "{other}", "{output}"};
    CHECK(command_fault(command, {"prompt", "output"}).empty());
    CHECK(fill_command(command, request_of(R"({"model":"m","prompt":"a cat"})"), "/o.png")
          == std::vector<std::string>{"tool", "--prompt", "a cat", "--size=1024x1024", "--fast", "{other}", "/o.png"});
    CHECK(fill_command(command, request_of(R"x({"model":"m","prompt":"{seed} $(id)","negative_prompt":"b","seed":7,"guidance":1.5})x"), "/o.png")
          == std::vector<std::string>{"tool", "--prompt", "{seed} $(id)", "-n", "b", "--size=1024x1024", "--seed=7", "--cfg", "1.5", "--fast",
                                      "{other}", "/o.png"});
    // No text of a client is a flag.
    CHECK(fill_command(command, request_of(R"({"model":"m","prompt":"--output=/etc/x"})"), "/o.png").at(2) == " --output=/etc/x");
    CHECK_FALSE(command_fault({}, {}).empty());
    CHECK_FALSE(command_fault({"tool", "{prompt}"}, {"prompt", "output"}).empty());
}

TEST_CASE("configured tools come first, well-known ones are found on PATH")
{
    const auto directory = std::filesystem::temp_directory_path() / ("herd-media-test-" + std::to_string(::getpid()));
    std::filesystem::create_directories(directory);
    for (const auto* name : {"mflux-generate", "diffusionkit-cli"}) {
        std::ofstream(directory / name) << "#!/bin/sh\n";
    }
    ::chmod((directory / "mflux-generate").c_str(), 0755); // the other one cannot be run
    MediaOptions options;
    options.image = {{"flux-dev", {"own", "{prompt}", "{output}"}}};
    const auto tools = image_tools(options, "/nonexistent:" + directory.string());
    REQUIRE(tools.size() == 2);
    CHECK(std::pair(tools[0].name, tools[0].backend) == std::pair(std::string("flux-dev:latest"), std::string("command")));
    CHECK(std::pair(tools[1].name, tools[1].backend) == std::pair(std::string("flux-schnell:latest"), std::string("mflux")));
    const auto command = fill_command(tools[1].command, request_of(R"({"model":"m","prompt":"-a","seed":1})"), "/o.png");
    CHECK(command
          == std::vector<std::string>{"mflux-generate", "--model=schnell", "--prompt=-a", "--width=1024", "--height=1024", "--steps=4", "--quantize=8",
                                      "--output=/o.png", "--seed=1"});
    options.images = false;
    CHECK(image_tools(options, directory.string()).empty());
    std::filesystem::remove_all(directory);
}

TEST_CASE("a tool's row looks like Ollama's, and tells what it is")
{
    const auto facts = row_of("z-image-turbo:latest", "image", "mflux", true);
    CHECK(facts.digest.size() == 64);
    CHECK(fleet::tool_of(facts.row) == fleet::Tool::image);
    CHECK(fleet::backend_of(facts.row) == "mflux");
    CHECK(fleet::is_listed(facts.row));
    CHECK_FALSE(fleet::is_listed(row_of("a:latest", "image", "mflux", false).row));
    const auto row = nlohmann::json::parse(facts.row);
    CHECK(row["details"]["type"] == "image");
    CHECK(row["capabilities"] == nlohmann::json{"image"});
    CHECK(row["size"] == 0);
}

TEST_CASE("an image goes into OpenAI's answer as base64")
{
    const auto answer = nlohmann::json::parse(image_answer("a\xff\n?", "say \"hi\"", 12));
    CHECK(answer["data"][0]["b64_json"] == "Yf8KPw==");
    CHECK(answer["data"][0]["revised_prompt"] == "say \"hi\"");
    CHECK(answer["created"] == 12);
    CHECK(is_png("\x89PNG\r\n\x1a\nrest"));
    CHECK_FALSE(is_png("\xff\xd8\xff"));
}

TEST_CASE("a program is there when it is a file that may be run, on PATH or at its path")
{
    const auto directory = std::filesystem::temp_directory_path() / ("herd-programs-" + std::to_string(::getpid()));
    std::filesystem::create_directories(directory / "folder");
    const auto file = (directory / "paint").string();
    std::ofstream(file) << "#!/bin/sh\n";
    CHECK_FALSE(can_run(file, ""));
    ::chmod(file.c_str(), 0700);
    CHECK(can_run(file, ""));
    CHECK(can_run("paint", "/nonexistent:" + directory.string()));
    CHECK_FALSE(can_run("paint", "/nonexistent"));
    CHECK_FALSE(can_run("folder", directory.string()));
    CHECK(can_run("true", ""));
    MediaOptions options;
    options.image = {{"a", {"x", "{prompt}"}}};
    options.transcription.command = {"y", "{input}"};
    CHECK(named_programs(options).size() == 2);
    options.images = false;
    CHECK(named_programs(options).size() == 1);
    std::filesystem::remove_all(directory);
}
