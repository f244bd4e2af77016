#include "herd/import/ollama_herd_history.hpp"

#include "base/ip.hpp"
#include "base/text.hpp"
#include "fleet/profile.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

namespace herd::app::import {

namespace {

using store::ForeignValue;
using fleet::Result;

constexpr std::size_t rows_max = 16; // of one request
constexpr std::size_t name_bytes_max = 256;
constexpr std::size_t error_bytes_max = 500;
constexpr std::size_t words_max = 16; // of a list: as many tags as herd takes, as long as it takes them
constexpr std::size_t word_bytes_max = 64;
constexpr double count_max = 1e9;
constexpr double span_ms_max = 30.0 * 24 * 3600 * 1000;
constexpr base::Duration clocks_differ = std::chrono::hours{1};
constexpr base::Duration longest_attempt = std::chrono::hours{1};

bool printable(std::string_view text)
{
    return base::is_utf8(text) && std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

std::optional<double> number_in(const ForeignValue& value, double least, double most)
{
    const auto* const integer = std::get_if<std::int64_t>(&value);
    const auto* const real = std::get_if<double>(&value);
    const double number = integer != nullptr ? static_cast<double>(*integer) : real != nullptr ? *real : std::nan("");
    return number >= least && number <= most ? std::optional{number} : std::nullopt; // NaN is neither
}

std::optional<std::string> name_in(const ForeignValue& value, std::size_t bytes_max)
{
    const auto* const text = std::get_if<std::string>(&value);
    const bool good = text != nullptr && text->size() <= bytes_max && printable(*text);
    return good ? std::optional{*text} : std::nullopt;
}

std::optional<TraceStatus> status_of(const ForeignValue& value)
{
    static const std::unordered_map<std::string, TraceStatus> known{
        {"completed", TraceStatus::completed},       {"failed", TraceStatus::failed},
        {"retried", TraceStatus::retried},           {"client_disconnected", TraceStatus::client_disconnected},
        {"incomplete", TraceStatus::incomplete},     {"no_output", TraceStatus::no_output}};
    const auto* const text = std::get_if<std::string>(&value);
    const auto found = text == nullptr ? known.end() : known.find(*text);
    return found == known.end() ? std::nullopt : std::optional{found->second};
}

/// Values one by one; one that is there and makes no sense is noted in the trace.
class Reader {
public:
    Reader(const store::ForeignCells& cells, Trace& trace) : cells_(cells), trace_(trace) {}

    void name(std::string& into)
    {
        if (there()) {
            take(name_in(*at_, name_bytes_max), into);
        }
    }
    void span(base::Duration& into)
    {
        if (there()) {
            const auto ms = number_in(*at_, 0, span_ms_max);
            take(ms ? std::optional{base::Duration{std::chrono::microseconds{std::llround(*ms * 1000)}}} : std::nullopt, into);
        }
    }
    void count(std::optional<std::int64_t>& into)
    {
        if (there()) {
            const auto number = number_in(*at_, 0, count_max);
            take(number && *number == std::floor(*number) ? std::optional{static_cast<std::int64_t>(*number)} : std::nullopt, into);
        }
    }
    void words(std::vector<std::string>& into)
    {
        if (!there()) {
            return;
        }
        const auto* const text = std::get_if<std::string>(at_);
        const auto list = text == nullptr ? nlohmann::json{} : nlohmann::json::parse(*text, nullptr, false);
        trace_.lessened = trace_.lessened || !list.is_array();
        for (const auto& one : list.is_array() ? list : nlohmann::json::array()) {
            const auto* const word = one.get_ptr<const std::string*>();
            const bool good = word != nullptr && !word->empty() && word->size() <= word_bytes_max && printable(*word) && into.size() < words_max;
            if (good && std::ranges::find(into, *word) == into.end()) {
                into.push_back(*word);
            }
            trace_.lessened = trace_.lessened || !good;
        }
    }
    /// What was said to people: as much of it as fits.
    void sentence(std::string& into)
    {
        if (!there()) {
            return;
        }
        const auto* const text = std::get_if<std::string>(at_);
        std::string start = text == nullptr ? std::string{} : text->substr(0, error_bytes_max);
        std::ranges::replace_if(start, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, ' ');
        for (int i = 0; i < 3 && !base::is_utf8(start); ++i) { // cut within a character
            start.pop_back();
        }
        take(text != nullptr && base::is_utf8(start) ? std::optional{start} : std::nullopt, into);
    }

private:
    /// Goes to the next one.
    bool there()
    {
        at_ = &cells_.at(next_++);
        return !std::holds_alternative<std::monostate>(*at_);
    }
    template <class Value, class Into>
    void take(std::optional<Value> value, Into& into)
    {
        if (value) {
            into = std::move(*value);
        }
        trace_.lessened = trace_.lessened || !value;
    }
    const store::ForeignCells& cells_;
    Trace& trace_;
    std::size_t next_{4};
    const ForeignValue* at_{nullptr};
};

/// The rest of the columns, in their order.
void read_details(const store::ForeignCells& cells, Trace& trace)
{
    std::optional<std::int64_t> retries;
    std::optional<std::int64_t> fallback;
    std::string client;
    std::string api;
    Reader from(cells, trace);
    from.name(trace.asked);
    from.name(trace.node);
    from.span(trace.took);
    from.span(trace.first);
    from.count(trace.prompt_tokens);
    from.count(trace.output_tokens);
    from.count(retries);
    from.count(fallback);
    from.words(trace.excluded);
    from.name(client);
    from.name(api);
    from.sentence(trace.error);
    from.words(trace.tags);
    if (trace.first > trace.took) {
        trace.first = {};
        trace.lessened = true;
    }
    trace.retries = retries.value_or(0);
    trace.fallback = fallback.value_or(0) != 0;
    const auto address = base::IpAddress::parse(client);
    trace.client = address ? address->text() : std::string{};
    trace.api = api == "openai" || api == "ollama" || api == "anthropic" ? api : std::string{};
    trace.lessened = trace.lessened || (!client.empty() && !address) || trace.api != api;
}

/// Herd's words for how an attempt went.
std::string outcome_of(const Trace& trace)
{
    switch (trace.status) {
    case TraceStatus::completed:
    case TraceStatus::no_output: return std::string{fleet::to_string(Result::served)};
    case TraceStatus::client_disconnected: return std::string{fleet::to_string(Result::cancelled)};
    case TraceStatus::incomplete: return std::string{fleet::to_string(Result::broken)};
    case TraceStatus::failed:
    case TraceStatus::retried: break;
    }
    return std::string{fleet::to_string(trace.first > base::Duration{} ? Result::broken : Result::failed)};
}

/// What the client saw. Their table does not tell the status of HTTP: once the first token was there it was 200.
void set_end(store::RequestRecord& record, const Trace& last)
{
    const bool begun = last.first > base::Duration{};
    switch (last.status) {
    case TraceStatus::completed: record.status = 200; return;
    case TraceStatus::no_output:
        record.status = 200;
        record.error = record.error.empty() ? "no output" : record.error;
        return;
    case TraceStatus::client_disconnected:
        record.status = begun ? 200 : 499;
        record.termination = begun ? "CD" : "CH";
        return;
    case TraceStatus::incomplete:
        record.status = 200;
        record.termination = "ND";
        return;
    case TraceStatus::failed:
    case TraceStatus::retried:
        record.status = begun ? 200 : 502;
        record.termination = begun ? "ND" : "NH";
        return;
    }
}

base::WallTime begin_of(const Trace& trace) { return trace.ended - std::chrono::duration_cast<std::chrono::microseconds>(trace.took); }

/// Rows of failed attempts were not always kept; the last one names their nodes all the same.
void add_attempts(store::RequestRecord& record, const std::vector<Trace>& rows, const Trace& last)
{
    for (const Trace& row : rows) {
        if (row.status == TraceStatus::retried && &row != &last) {
            record.attempts.push_back({row.node, outcome_of(row), row.took});
        }
    }
    if (record.attempts.empty() && last.status != TraceStatus::retried) {
        for (const std::string& node : last.excluded) {
            if (static_cast<std::int64_t>(record.attempts.size()) < last.retries) {
                record.attempts.push_back({node, std::string{fleet::to_string(Result::failed)}, {}});
            }
        }
    }
    record.attempts.push_back({last.node, outcome_of(last), last.took});
}

} // namespace

std::optional<Trace> trace_of(const store::ForeignCells& cells, base::WallTime now)
{
    Trace trace;
    const auto id = name_in(cells.at(0), 128);
    const auto status = status_of(cells.at(2));
    const auto latest = now + std::chrono::duration_cast<std::chrono::microseconds>(clocks_differ);
    const auto ended = number_in(cells.at(3), 1, std::chrono::duration<double>(latest.time_since_epoch()).count());
    if (!id || id->empty() || id->find(' ') != std::string::npos || !status || !ended) {
        return std::nullopt;
    }
    trace.id = *id;
    trace.status = *status;
    trace.ended = base::WallTime{std::chrono::microseconds{std::llround(*ended * 1e6)}};
    read_details(cells, trace);
    const auto model = name_in(cells.at(1), name_bytes_max);
    trace.lessened = trace.lessened || !model;
    trace.model = model && !model->empty() ? *model : trace.asked;
    trace.asked = trace.asked.empty() ? trace.model : trace.asked;
    return trace.model.empty() ? std::nullopt : std::optional{std::move(trace)};
}

namespace {

/// By their ends, those of one moment in the order of the table. (std::stable_sort of GCC 12 uses what C++20 took away.)
std::vector<Trace> in_order(std::vector<Trace> rows)
{
    std::vector<std::pair<decltype(Trace::ended), std::size_t>> order;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        order.emplace_back(rows[i].ended, rows.size() - i); // they came the last one first
    }
    std::ranges::sort(order);
    std::vector<Trace> sorted;
    sorted.reserve(rows.size());
    for (const auto& [ended, from_end] : order) {
        sorted.push_back(std::move(rows[rows.size() - from_end]));
    }
    return sorted;
}

} // namespace

store::RequestRecord record_of(std::vector<Trace> given)
{
    auto rows = in_order(std::move(given));
    // How it ended is told by a row that is not "retried"; without one the last attempt was the last.
    const auto found = std::ranges::find_if(rows.rbegin(), rows.rend(), [](const Trace& row) { return row.status != TraceStatus::retried; });
    const Trace& last = found == rows.rend() ? rows.back() : *found;
    const Trace& first = *std::ranges::min_element(rows, {}, begin_of);
    store::RequestRecord record;
    record.id = last.id;
    record.at = std::min(begin_of(first), last.ended);
    record.client = last.client;
    record.api = last.api;
    record.method = "POST";
    record.model = last.model;
    record.requested_model = last.asked;
    record.node = last.node;
    record.tags = last.tags;
    record.prompt_tokens = last.prompt_tokens;
    record.output_tokens = last.output_tokens;
    record.total = last.ended - record.at;
    record.ttft = last.first > base::Duration{} ? begin_of(last) - record.at + last.first : base::Duration{};
    record.fallback = last.fallback;
    record.error = last.error;
    add_attempts(record, rows, last);
    set_end(record, last);
    return record;
}

bool may_run(const std::vector<Trace>& rows, base::WallTime now)
{
    return std::ranges::all_of(rows, [&](const Trace& row) { return row.status == TraceStatus::retried && now - row.ended < longest_attempt; });
}

std::optional<TraceWindow::Rows> TraceWindow::add(Trace trace)
{
    if (const auto known = by_id_.find(trace.id); known != by_id_.end()) {
        Rows& rows = *known->second;
        if (rows.size() < rows_max) {
            rows.push_back(std::move(trace));
        }
        return std::nullopt;
    }
    requests_.emplace_back();
    requests_.back().push_back(std::move(trace));
    by_id_.emplace(requests_.back().front().id, std::prev(requests_.end()));
    return requests_.size() > most_ ? next() : std::nullopt;
}

std::optional<TraceWindow::Rows> TraceWindow::next()
{
    if (requests_.empty()) {
        return std::nullopt;
    }
    Rows rows = std::move(requests_.front());
    by_id_.erase(rows.front().id);
    requests_.pop_front();
    return rows;
}

} // namespace herd::app::import
