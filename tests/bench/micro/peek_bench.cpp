// What looking into a request's body costs: model, options, and the canonical prompt chain, in one pass.
#include "micro.hpp"
#include "proxy/body_peek.hpp"

#include <cstdlib>
#include <string>

namespace {

using namespace herd;

std::string quoted(std::string_view role, const std::string& content)
{
    return std::string(R"({"role":")").append(role).append(R"(","content":")").append(content).append("\"},");
}

/// A conversation of `bytes` altogether, in turns of `turn`, made of `unit`.
std::string chat(std::size_t bytes, std::size_t turn, std::string_view unit)
{
    std::string body = R"({"model":"llama3.2:3b","stream":true,"messages":[)";
    for (int i = 0; body.size() < bytes; ++i) {
        std::string content = std::to_string(i);
        while (content.size() < turn) {
            content.append(unit);
        }
        body += quoted(i % 2 == 0 ? "user" : "assistant", content);
    }
    body.pop_back();
    return body + "]}";
}

void run(const char* name, const std::string& body)
{
    if (proxy::peek_json(body).model != "llama3.2:3b") {
        std::exit(1);
    }
    bench::measure(name, [&] { bench::keep(proxy::peek_json(body)); }, body.size());
}

} // namespace

int main()
{
    bench::print_header();
    const std::string_view prose = "It was a bright cold day in April, and the clocks were striking thirteen. ";
    const std::string_view code = R"(    if (x == \"y\") {\n        return std::string(\"z\");\n    }\n)";
    run("peek: chat, 512 B", chat(512, 100, prose));
    run("peek: chat, 64 KiB of prose in turns of 1 KB", chat(64 * 1024, 1000, prose));
    run("peek: chat, 64 KiB of code in turns of 4 KB", chat(64 * 1024, 4000, code));
    run("peek: chat, 64 KiB of \\u escapes", chat(64 * 1024, 4000, R"(\u4f60\u597d\uff0c)"));
    run("peek: chat, 1 MiB of prose in turns of 8 KB", chat(1024 * 1024, 8000, prose));
    run("peek: an image of 1 MiB",
        R"({"model":"llama3.2:3b","prompt":"see","images":[")" + std::string(1024 * 1024, 'A') + "\"]}");
    return 0;
}
