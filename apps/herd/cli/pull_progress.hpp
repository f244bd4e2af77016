#pragma once
// The progress of a pull, as a person sees it: Ollama's lines in, text out.
#include "cli/terminal.hpp"

#include <string>
#include <string_view>

namespace herd::app {

/// Feeds on the NDJSON of /api/pull in any pieces. On a live terminal the line is drawn over while its status lasts;
/// otherwise one line per status. Thread: one owner.
class PullProgress {
public:
    enum class Show : unsigned char { nothing, lines, live, raw };
    PullProgress(const cli::Terminal& terminal, Show show) : terminal_(terminal), show_(show) {}

    /// False when a line is longer than any that Ollama writes: the stream is none of a pull.
    bool feed(std::string_view bytes);
    /// After the last byte: ends the line being drawn, reads what has no line break.
    void finish();
    [[nodiscard]] bool succeeded() const { return succeeded_ && error_.empty(); }
    /// Why not; empty when it succeeded.
    [[nodiscard]] std::string failure() const;

private:
    void line(std::string_view text);
    void draw(const std::string& status, double completed, double total);

    const cli::Terminal& terminal_;
    Show show_;
    std::string rest_{};
    std::string last_{};
    std::string drawn_{};
    std::string error_{};
    bool succeeded_{false};
};

} // namespace herd::app
