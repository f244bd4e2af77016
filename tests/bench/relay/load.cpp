// The load generator:
//
//   bench_load requests --target HOST:PORT [--pid P] [--connections 64] [--rate 0] [--warmup-ms 1000] [--seconds 4]
//   bench_load streams  --target HOST:PORT [--pid P] [--connections 200] [--rate 20] [--warmup-ms 1000] [--seconds 4]
#include "load.hpp"

#include "posix.hpp"
#include "wire.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace herd::bench {

void refuse(std::string_view why, std::string_view what)
{
    std::string text;
    const std::string sentence = std::string(why).append(what.empty() ? "" : ": ").append(what.substr(0, 300));
    for (const char c : sentence) {
        if (c == '"' || c == '\\') {
            text.push_back('\\');
        }
        text.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
    }
    std::printf("{\"failed\": \"%s\"}\n", text.c_str());
    (void)std::fflush(stdout);
    std::_Exit(1);
}

double Latencies::us(double quantile)
{
    if (values_.empty()) {
        return 0;
    }
    const auto rank = static_cast<std::ptrdiff_t>(quantile * static_cast<double>(values_.size() - 1));
    std::nth_element(values_.begin(), values_.begin() + rank, values_.end());
    return static_cast<double>(values_[static_cast<std::size_t>(rank)]) / 1e3;
}

void Window::begin(int pid)
{
    began_ns = now_ns();
    cpu_began = cpu_ns(pid);
}

void Window::end(int pid)
{
    ended_ns = now_ns();
    cpu_ended = cpu_ns(pid);
}

double Window::cpu_us(std::uint64_t items) const
{
    if (cpu_began < 0 || cpu_ended < 0 || items == 0) {
        return -1;
    }
    return static_cast<double>(cpu_ended - cpu_began) / 1e3 / static_cast<double>(items);
}

} // namespace herd::bench

int main(int argc, char** argv)
{
    using namespace herd::bench;
    live_with_parent();
    LoadOptions options;
    const std::string_view mode = argc > 1 ? argv[1] : "";
    const auto target = option(argc, argv, "--target");
    const auto address = target ? parse_address(*target) : std::nullopt;
    if (!address || (mode != "requests" && mode != "streams")) {
        (void)std::fputs("usage: bench_load requests|streams --target 127.0.0.1:PORT [--pid P] [--connections N] "
                         "[--rate CHUNKS_PER_S] [--warmup-ms N] [--seconds N]\n",
                         stderr);
        return 2;
    }
    options.target = *address;
    options.host = *target;
    options.pid = static_cast<int>(number_option(argc, argv, "--pid", 0));
    options.connections = number_option(argc, argv, "--connections", mode == "streams" ? 200 : 64);
    options.rate = number_option(argc, argv, "--rate", mode == "streams" ? 20 : 0);
    options.warmup_ms = number_option(argc, argv, "--warmup-ms", 1000);
    options.seconds = number_option(argc, argv, "--seconds", 4);
    mode == "streams" ? run_streams(options) : run_requests(options);
}
