#include "herd/bench/book.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace herd::app::bench {

void Book::add(std::string run_id, std::string json)
{
    runs_.emplace_front(std::move(run_id), std::move(json));
    runs_.resize(std::min(runs_.size(), kept));
}

std::string Book::joined(std::size_t limit, std::string_view between) const
{
    std::string all;
    for (std::size_t i = 0; i < std::min(limit, runs_.size()); ++i) {
        all.append(i == 0 ? std::string_view{} : between).append(runs_[i].second);
    }
    return all;
}

std::string Book::list(std::size_t limit) const { return R"({"data":[)" + joined(limit, ",") + "]}"; }

std::string Book::text() const { return "[" + joined(kept, ",\n") + "]\n"; }

const std::string* Book::find(std::string_view run_id) const
{
    const auto found = std::ranges::find(runs_, run_id, [](const auto& run) { return std::string_view{run.first}; });
    return found == runs_.end() ? nullptr : &found->second;
}

base::Result<void> Book::read(std::string_view text)
{
    const auto json = nlohmann::ordered_json::parse(text, nullptr, false);
    std::deque<std::pair<std::string, std::string>> runs;
    const bool good = json.is_array() && std::ranges::all_of(json, [&runs](const auto& run) {
        const auto id = run.is_object() ? run.find("run_id") : run.end();
        const bool named = run.is_object() && id != run.end() && id->is_string();
        if (named) {
            runs.emplace_back(id->template get<std::string>(), run.dump());
        }
        return named;
    });
    if (!good) {
        return base::fail(base::Errc::malformed, "it is no list of benchmarks");
    }
    runs.resize(std::min(runs.size(), kept));
    runs_ = std::move(runs);
    return {};
}

} // namespace herd::app::bench
