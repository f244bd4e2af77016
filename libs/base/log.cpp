#include "base/log.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace herd::log {

namespace {

constexpr std::array<std::string_view, 5> level_names{"trace", "debug", "info", "warn", "error"};
constexpr std::size_t queue_lines_max = 2048;

// The log is the one place, besides net and the store's writer, that may hold a mutex.
struct Sink {
    std::mutex mutex;
    std::shared_ptr<spdlog::details::thread_pool> pool;
    std::shared_ptr<spdlog::async_logger> logger;
    Options options;
};

Sink& sink()
{
    static Sink instance;
    return instance;
}

std::atomic<Level> threshold{Level::info};
std::atomic<Format> chosen_format{Format::text};
std::atomic<bool> to_journal{false};

/// sd-daemon(3): debug, info, warning, err.
constexpr std::array<std::string_view, 5> journal_priorities{"<7>", "<7>", "<6>", "<4>", "<3>"};

std::shared_ptr<spdlog::async_logger> make_logger(const Options& options,
                                                  const std::shared_ptr<spdlog::details::thread_pool>& pool)
{
    spdlog::sink_ptr target;
    if (options.file.empty()) {
        target = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
        target = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
    }
    auto logger = std::make_shared<spdlog::async_logger>("herd", std::move(target), pool,
                                                         spdlog::async_overflow_policy::overrun_oldest);
    logger->set_pattern("%v");
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::trace);
    return logger;
}

void append_escaped(std::string& out, std::string_view text)
{
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte == 0x7F) {
            out += fmt::format("\\u{:04x}", byte);
        } else {
            out += c;
        }
    }
}

void append_logfmt_value(std::string& out, const Field& field)
{
    const bool plain = !field.value.empty()
        && field.value.find_first_of(" =\"\\") == std::string::npos
        && std::string_view{field.value}.find_first_of("\t\r\n") == std::string_view::npos;
    bool control = false;
    for (const char c : field.value) {
        control = control || static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    }
    if (plain && !control) {
        out += field.value;
        return;
    }
    out += '"';
    append_escaped(out, field.value);
    out += '"';
}

std::string timestamp()
{
    const auto now = std::chrono::system_clock::now();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(ms / 1000)), ms % 1000);
}

} // namespace

Field::Field(std::string_view k, double v) : key(k), value(fmt::format("{:.3f}", v)), is_text(false) {}

std::string format_line(Format format, Level level, std::string_view room, std::string_view event, Fields fields)
{
    const auto name = level_names.at(static_cast<std::size_t>(level));
    std::string line;
    if (format == Format::text) {
        line = fmt::format("{} {} {}", name, room, event);
        for (const Field& field : fields) {
            line += ' ';
            line += field.key;
            line += '=';
            append_logfmt_value(line, field);
        }
        return line;
    }
    line = fmt::format(R"("level":"{}","room":"{}","event":"{}")", name, room, event);
    for (const Field& field : fields) {
        line += fmt::format(",\"{}\":", field.key);
        if (field.is_text) {
            line += '"';
            append_escaped(line, field.value);
            line += '"';
        } else {
            line += field.value;
        }
    }
    return line;
}

bool start(const Options& options)
{
    auto& s = sink();
    const std::scoped_lock lock(s.mutex);
    try {
        s.pool = std::make_shared<spdlog::details::thread_pool>(queue_lines_max, 1U);
        s.logger = make_logger(options, s.pool);
    } catch (const spdlog::spdlog_ex&) {
        return false;
    }
    s.options = options;
    threshold = options.level;
    chosen_format = options.format;
    to_journal = options.journal && options.file.empty();
    return true;
}

void stop()
{
    auto& s = sink();
    const std::scoped_lock lock(s.mutex);
    if (s.logger) {
        s.logger->flush();
    }
    s.pool.reset(); // joins the thread after the queue is written: nobody else has the logger then
    s.logger.reset();
}

void reopen()
{
    auto& s = sink();
    const std::scoped_lock lock(s.mutex);
    if (s.logger && !s.options.file.empty()) {
        try {
            s.logger = make_logger(s.options, s.pool);
        } catch (const spdlog::spdlog_ex&) {
            // The old file stays in use: losing the log is worse than an unrotated one.
        }
    }
}

void set_level(Level level) { threshold = level; }
bool enabled(Level level) { return level >= threshold.load(std::memory_order_relaxed); }

std::optional<Level> parse_level(std::string_view name)
{
    for (std::size_t i = 0; i < level_names.size(); ++i) {
        if (level_names.at(i) == name) {
            return static_cast<Level>(i);
        }
    }
    return std::nullopt;
}

void write(Level level, std::string_view room, std::string_view event, Fields fields)
{
    if (!enabled(level)) {
        return;
    }
    const Format format = chosen_format;
    const std::string body = format_line(format, level, room, event, fields);
    const std::string_view priority = to_journal ? journal_priorities.at(static_cast<std::size_t>(level)) : "";
    const std::string line = format == Format::json ? fmt::format(R"({}{{"ts":"{}",{}}})", priority, timestamp(), body)
        : priority.empty()                          ? timestamp() + ' ' + body
                                                    : std::string{priority} + body;
    std::shared_ptr<spdlog::async_logger> logger;
    {
        auto& s = sink();
        const std::scoped_lock lock(s.mutex);
        logger = s.logger;
    }
    if (logger) {
        logger->log(spdlog::level::info, spdlog::string_view_t{line.data(), line.size()});
    } else {
        std::fprintf(stderr, "%s\n", line.c_str());
    }
}

} // namespace herd::log
