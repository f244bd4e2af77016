#pragma once
// A table of herd.toml in the making. Herd itself is asked whether it takes what is written, so that no file that `herd
// import` prints is refused: what it does not take is left out and told. Pure.
#include "herd/import/toml_text.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace herd::app::import {

constexpr std::size_t toml_bytes_max = 1'000'000; ///< herd reads 1 MiB

/// What herd says of such a herd.toml; empty: it takes it.
[[nodiscard]] std::string fault_of(const std::string& toml);

/// A number of theirs that fits: `low` or `high` when it is outside, and then why in `told`.
[[nodiscard]] std::uint64_t within(std::uint64_t value, std::uint64_t low, std::uint64_t high, std::string& told);

/// What a remark tells of a value: quoted, a long one cut.
[[nodiscard]] std::string shown(std::string_view text);

enum class Tell : std::uint8_t { value, nothing }; ///< nothing: a secret

class Draft {
public:
    /// `header`: "[[node]]"; empty: the top of the file. `of`: whose settings these are, as remarks name it; may be empty.
    Draft(std::string header, std::string of) : header_(std::move(header)), of_(std::move(of)) {}

    /// `field`: what theirs is called.
    void line(std::string_view key, const Json& value, std::string_view field, Tell tell = Tell::value);
    /// The same for what is no line of the form key = value. Begins and ends as lines do.
    void lines(std::string text, std::string_view field, std::string_view value);
    void note(std::string_view sentence);

    struct Text {
        std::string toml{};  ///< with its remarks
        bool stands{true};   ///< false: all that is left are remarks
    };
    /// A [[table]] stands or falls with its first line.
    [[nodiscard]] Text text() const;

private:
    struct Line {
        std::string text{};
        std::string told{}; ///< field and value, for a remark
    };
    [[nodiscard]] std::string remark_of(std::string_view sentence) const;

    std::string header_;
    std::string of_;
    std::vector<Line> lines_{};
    std::string remarks_{};
};

/// `listen = ["HOST:PORT"]` for a host as these programs write it; a name becomes every address. `field`: theirs.
[[nodiscard]] std::string listening(std::string_view host, std::uint64_t port, std::uint64_t usual_port, std::string_view field);

} // namespace herd::app::import
