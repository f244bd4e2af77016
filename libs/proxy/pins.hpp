#pragma once
// Pinned properties: what a person wrote into every request body of a frontend or for a node. Deep merge with the
// client's body: object meets object, else the pinned value wins whole. Nothing is parsed into values: what is not
// pinned keeps its text, numbers of any size included, and its order. Pure.
//
// Keys compare exactly. But Ollama reads keys regardless of case and lets the last one win, so a key that differs from
// a pinned one in case only stays in the body and the pinned one is written behind it.
// Source: reference/parity.md 3.4.
#include "base/error.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace herd::proxy {

class Pins {
public:
    Pins() = default;
    /// Errors: bad_config: no JSON object, a key twice (regardless of case), too long or too deep.
    [[nodiscard]] static base::Result<Pins> compile(std::string_view json);

    [[nodiscard]] bool empty() const { return members_.empty(); }
    [[nodiscard]] const std::string& text() const { return text_; }
    /// Whether a key of the top level means this to Ollama, that is regardless of case.
    [[nodiscard]] bool names(std::string_view key) const;
    /// `body` with these pins. Requires: `body` begins with a well-formed object (go_json_fault); what follows that is
    /// left out.
    [[nodiscard]] std::string merge_into(std::string_view body) const;
    /// Both, `later` winning.
    [[nodiscard]] Pins with(const Pins& later) const;

private:
    struct Member {
        std::string key{};     ///< as meant
        std::string folded{};  ///< as Ollama compares it
        std::string written{}; ///< with quotes
        std::string value{};   ///< its JSON text
        bool object{false};
        std::vector<Member> members{}; ///< of an object
    };
    struct Met;
    static base::Result<std::vector<Member>> members_of(std::string_view object, int depth);
    static void merge(std::string& out, std::string_view object, const std::vector<Member>& pins);
    static void append_value(std::string& out, const Member& pin, std::string_view theirs);

    std::string text_{"{}"};
    std::vector<Member> members_{};
};

} // namespace herd::proxy
