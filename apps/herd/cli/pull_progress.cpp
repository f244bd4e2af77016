#include "herd/cli/pull_progress.hpp"

#include "herd/cli/answer_json.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::app {

namespace {

constexpr std::size_t line_bytes_max = 64 * 1024;

} // namespace

bool PullProgress::feed(std::string_view bytes)
{
    rest_ += bytes;
    std::size_t at = 0;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', at)) {
        line(std::string_view{rest_}.substr(at, end - at));
        at = end + 1;
    }
    rest_.erase(0, at);
    if (rest_.size() > line_bytes_max) {
        error_ = "the answer is not the progress of a pull; is that a herd?";
        return false;
    }
    return terminal_.out.good(); // false: whoever read us has gone
}

void PullProgress::finish()
{
    if (!rest_.empty()) {
        line(rest_);
        rest_.clear();
    }
    if (!drawn_.empty()) {
        terminal_.out << std::endl;
        drawn_.clear();
    }
}

std::string PullProgress::failure() const
{
    return succeeded() ? "" : !error_.empty() ? error_ : "the pull ended without success";
}

void PullProgress::line(std::string_view text)
{
    if (show_ == Show::raw && !text.empty()) {
        terminal_.out << text << std::endl;
    }
    const auto json = answer::Json::parse(text, nullptr, false);
    const answer::Json& error = answer::at(json, "error");
    if (!error.is_null()) { // even a success before it was none
        error_ = error.is_string() ? cli::clean(error.get_ref<const std::string&>(), 300) : "the pull failed";
        return;
    }
    const std::string status = answer::text(json, "status");
    if (status.empty()) {
        return;
    }
    succeeded_ = status == "success";
    draw(status, answer::number(json, "completed").value_or(0), answer::number(json, "total").value_or(0));
}

void PullProgress::draw(const std::string& status, double completed, double total)
{
    if (show_ == Show::lines && status != last_) {
        terminal_.out << status << std::endl;
    }
    if (show_ == Show::live) {
        if (status != last_ && !last_.empty()) {
            terminal_.out << '\n';
            drawn_.clear();
        }
        std::string now = status;
        if (total > 0) {
            const double share = std::clamp(completed / total, 0.0, 1.0);
            const auto full = static_cast<std::size_t>(share * 20);
            now += fmt::format(" {:3.0f}% [{}{}] {}/{}", share * 100, std::string(full, '='), std::string(20 - full, ' '),
                               cli::human_bytes(completed), cli::human_bytes(total));
        }
        if (now != drawn_) {
            terminal_.out << "\r\x1b[K" << now << std::flush;
            drawn_ = now;
        }
    }
    last_ = status;
}

} // namespace herd::app
