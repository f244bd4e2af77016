#pragma once
// Reads HTTP/1.1 answers from pieces of any size. Strict and small: only what a relay may make of the fake
// Ollama's answers is accepted (status 200, a length or chunks), everything else is a corrupted response.
#include <cstdint>
#include <string>
#include <string_view>

namespace herd::bench {

class AnswerReader {
public:
    enum class State : std::uint8_t { more, complete, bad };

    /// Takes bytes from the front of `bytes` and appends what belongs to the body to `body`.
    /// `complete`: the answer ended; what is left in `bytes` belongs to the next. `bad`: see error().
    [[nodiscard]] State feed(std::string_view& bytes, std::string& body);
    /// Makes ready for the next answer.
    void reset();
    [[nodiscard]] const std::string& error() const { return error_; }
    /// The answer said `Connection: close`.
    [[nodiscard]] bool closing() const { return closing_; }

private:
    enum class At : std::uint8_t { head, counted, chunk_size, chunk_data, chunk_end, trailer };
    State fail(std::string_view why, std::string_view what);
    bool take_line(std::string_view& bytes);
    State parse_head();
    State step(std::string_view& bytes, std::string& body);

    At at_{At::head};
    std::string text_; // head or line collected so far
    std::uint64_t left_{0};
    bool closing_{false};
    std::string error_;
};

} // namespace herd::bench
