#include "wire.hpp"

#include <array>
#include <charconv>
#include <ctime>

namespace herd::bench {

namespace {

constexpr std::size_t id_digits = 10;
constexpr std::size_t stamp_digits = 19;
constexpr std::string_view ask_mark = "bench id=";
constexpr std::string_view small_mark = R"("bench_id":")";
constexpr std::string_view stamp_mark = R"("bench_ns":")";

// Text as a model would write it: no two chunks are cut at the same place.
constexpr std::string_view prose =
    "The shepherd counted the herd at dusk, and again at dawn, and each time the number came out the same, "
    "though no animal stood where it had stood before. Some drank, some slept, some looked at the hills. "
    "When one went lame the others waited; when one was lost the dog knew first. So the field was never empty, "
    "and whoever came to the gate with an errand found somebody ready to carry it home before the rain began.";

void write_digits(char* at, std::size_t width, std::uint64_t value)
{
    for (std::size_t i = width; i-- > 0; value /= 10) {
        at[i] = static_cast<char>('0' + value % 10);
    }
}

std::optional<std::uint64_t> read_digits(std::string_view text)
{
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::string digits(std::size_t width, std::uint64_t value)
{
    std::string text(width, '0');
    write_digits(text.data(), width, value);
    return text;
}

/// Appends `count` bytes of prose, starting somewhere that depends on `offset`.
void append_prose(std::string& out, std::size_t count, std::size_t offset)
{
    for (offset %= prose.size(); count > 0; offset = 0) {
        const std::size_t step = std::min(count, prose.size() - offset);
        out.append(prose.substr(offset, step));
        count -= step;
    }
}

/// "…name=VALUE " inside the ask.
std::optional<std::uint32_t> ask_field(std::string_view ask, std::string_view name)
{
    const auto at = ask.find(name);
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    const auto from = at + name.size();
    const auto value = read_digits(ask.substr(from, ask.find(' ', from) - from));
    return value ? std::optional{static_cast<std::uint32_t>(*value)} : std::nullopt;
}

constexpr std::string_view timings =
    R"("done":true,"done_reason":"stop","total_duration":5191566416,"load_duration":2154458,)"
    R"("prompt_eval_count":26,"prompt_eval_duration":383809000,"eval_count":298,"eval_duration":4799921000})";

} // namespace

std::string request(const Ask& ask, std::string_view host)
{
    std::string body = R"({"model":")";
    body.append(model_name).append(R"(","messages":[{"role":"user","content":")").append(ask_mark);
    body.append(digits(id_digits, ask.id)).append(" rate=").append(std::to_string(ask.rate));
    body.append(" chunks=").append(std::to_string(ask.chunks)).append(" ");
    const std::string tail = std::string(R"("}],"options":{"temperature":0.7},"stream":)") + (ask.rate > 0 ? "true}" : "false}");
    append_prose(body, ask_body_bytes - body.size() - tail.size(), 0);
    body += tail;
    std::string bytes = "POST /api/chat HTTP/1.1\r\nHost: ";
    bytes.append(host).append("\r\nUser-Agent: herd-bench\r\nAccept: */*\r\nContent-Type: application/json\r\n");
    bytes.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n\r\n").append(body);
    return bytes;
}

void set_request_id(std::string& request_bytes, std::uint32_t id)
{
    write_digits(request_bytes.data() + request_bytes.find(ask_mark) + ask_mark.size(), id_digits, id);
}

std::optional<Ask> read_ask(std::string_view body)
{
    const auto at = body.find(ask_mark);
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    body.remove_prefix(at);
    const auto id = ask_field(body, " id=");
    const auto rate = ask_field(body, " rate=");
    const auto chunks = ask_field(body, " chunks=");
    if (!id || !rate || !chunks || (*rate > 0 && *chunks == 0) || *rate > 1000) {
        return std::nullopt;
    }
    return Ask{*id, *rate, *chunks};
}

std::string small_body(std::uint32_t id)
{
    std::string body = R"({"model":")";
    body.append(model_name).append(R"(","created_at":"2026-01-01T00:00:00.123456789Z",)");
    body.append(small_mark).append(digits(id_digits, id));
    body.append(R"(","message":{"role":"assistant","content":")");
    const std::string tail = std::string(R"("},)").append(timings);
    append_prose(body, small_body_bytes - body.size() - tail.size(), 7);
    return body.append(tail);
}

void set_small_body_id(std::string& body, std::uint32_t id)
{
    write_digits(body.data() + body.find(small_mark) + small_mark.size(), id_digits, id);
}

void append_line(std::string& out, const Ask& ask, std::uint32_t sequence, std::uint64_t stamp)
{
    const std::uint32_t mix = (ask.id * 2654435761U) ^ (sequence * 40503U);
    out.append(R"({"model":")").append(model_name).append(R"(","created_at":"2026-01-01T00:00:00.123456789Z",)");
    out.append(stamp_mark);
    const auto at = out.size();
    out.resize(at + stamp_digits);
    write_digits(out.data() + at, stamp_digits, stamp);
    out.append(R"(","message":{"role":"assistant","content":")");
    if (sequence + 1 == ask.chunks) {
        out.append(R"("},)").append(timings);
    } else {
        append_prose(out, 1 + mix % 140, mix);
        out.append(R"("},"done":false})");
    }
    out.push_back('\n');
}

std::optional<std::uint64_t> check_line(std::string_view line, const Ask& ask, std::uint32_t sequence)
{
    const auto at = line.find(stamp_mark);
    if (at == std::string_view::npos || line.size() < at + stamp_mark.size() + stamp_digits) {
        return std::nullopt;
    }
    const auto stamp = read_digits(line.substr(at + stamp_mark.size(), stamp_digits));
    if (!stamp) {
        return std::nullopt;
    }
    thread_local std::string expected;
    expected.clear();
    append_line(expected, ask, sequence, *stamp);
    return expected == line ? stamp : std::nullopt;
}

std::uint64_t now_ns()
{
    ::timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(time.tv_nsec);
}

} // namespace herd::bench
