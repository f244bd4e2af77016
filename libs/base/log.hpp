#pragma once
// One line, one event: `ts level room event key=value…` (logfmt), or the same as JSON. Event names are
// stable `noun_verb`. Never log prompts, answers, keys or bodies. Asynchronous with a bounded queue that
// drops the oldest line, so that a slow terminal cannot stop a stream.
//
//   log::info("fleet", "node_lost", {{"node", id.text()}, {"silence_ms", 1900}});
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace herd::log {

enum class Level : std::uint8_t { trace, debug, info, warn, error };
enum class Format : std::uint8_t { text, json };

/// One `key=value`. Text is quoted when needed; control characters are escaped (no log forging).
struct Field {
    std::string_view key;
    std::string value;
    bool is_text{true};

    Field(std::string_view k, std::string v) : key(k), value(std::move(v)) {}
    Field(std::string_view k, std::string_view v) : key(k), value(v) {}
    Field(std::string_view k, const char* v) : key(k), value(v) {}
    Field(std::string_view k, bool v) : key(k), value(v ? "true" : "false"), is_text(false) {}
    Field(std::string_view k, double v);
    template <class T>
        requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
    Field(std::string_view k, T v) : key(k), value(std::to_string(v)), is_text(false)
    {
    }
};

struct Options {
    Level level{Level::info};
    Format format{Format::text};
    std::string file{}; ///< empty: standard error
    bool journal{false}; ///< standard error is systemd's journal: each line begins with its priority, and the time is the journal's
};

/// Starts the log. Call once, after daemonizing (it owns a thread). Before that, lines go to stderr directly.
/// Errors: false when the file cannot be opened.
[[nodiscard]] bool start(const Options& options);
/// Writes what is queued and stops the thread.
void stop();
/// Reopens the file (log rotation).
void reopen();
void set_level(Level level);
[[nodiscard]] bool enabled(Level level);
[[nodiscard]] std::optional<Level> parse_level(std::string_view name);

using Fields = std::initializer_list<Field>;

/// Thread: any.
void write(Level level, std::string_view room, std::string_view event, Fields fields);

inline void trace(std::string_view room, std::string_view event, Fields f = {}) { write(Level::trace, room, event, f); }
inline void debug(std::string_view room, std::string_view event, Fields f = {}) { write(Level::debug, room, event, f); }
inline void info(std::string_view room, std::string_view event, Fields f = {}) { write(Level::info, room, event, f); }
inline void warn(std::string_view room, std::string_view event, Fields f = {}) { write(Level::warn, room, event, f); }
inline void error(std::string_view room, std::string_view event, Fields f = {}) { write(Level::error, room, event, f); }

/// The line as it would be written, without the time: for tests and for `write`.
[[nodiscard]] std::string format_line(Format format, Level level, std::string_view room, std::string_view event,
                                      Fields fields);

} // namespace herd::log
