#include "herd/records/answers.hpp"

#include "herd/admin/views.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using Json = nlohmann::ordered_json;
using store::RequestRecord;

std::string note_text(const base::Error& error) { return "only the latest: the database cannot be read (" + error.message() + ")"; }

std::string json_text(std::string_view text)
{
    return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Those of memory that are wanted and not among `found`.
void add_memory(std::vector<RequestRecord>& found, const Ledger::Records& memory, const store::TraceFilter& filter)
{
    std::set<std::uint64_t> known;
    for (const RequestRecord& record : found) {
        known.insert(record.seq);
    }
    for (const auto& record : memory) {
        if (!known.contains(record->seq) && matches(filter, *record)) {
            found.push_back(*record);
        }
    }
    std::ranges::sort(found, store::newer);
    if (found.size() > filter.limit) {
        found.resize(filter.limit);
    }
}

Json percentiles(const store::Spread& spread)
{
    if (spread.count() == 0) {
        return nullptr;
    }
    const auto at = [&](double share) { return std::round(*spread.percentile(share) * 100) / 100; };
    return {{"p50", at(0.5)}, {"p90", at(0.9)}, {"p99", at(0.99)}};
}

Json row_json(const store::UsageSum::Key& key, const store::UsageCell& cell)
{
    const auto mean = cell.requests == 0 ? 0.0 : base::seconds(cell.total) * 1000 / static_cast<double>(cell.requests);
    return {{"bucket", admin::timestamp(base::WallTime{std::chrono::seconds{key.first}})},
            {"name", key.second},
            {"requests", cell.requests},
            {"errors", cell.errors},
            {"disconnects", cell.disconnects},
            {"retries", cell.retries},
            {"cold_loads", cell.cold_loads},
            {"prompt_tokens", cell.prompt_tokens},
            {"cached_tokens", cell.cached_tokens},
            {"output_tokens", cell.output_tokens},
            {"total_ms_mean", std::round(mean * 1000) / 1000},
            {"ttft_ms", percentiles(cell.ttft_ms)},
            {"tokens_per_s", percentiles(cell.tokens_per_s)}};
}

} // namespace

std::vector<RequestRecord> list_of(const MaybeReader& reader, const Ledger::Records& memory, const store::TraceFilter& filter,
                                   std::string& note)
{
    std::vector<RequestRecord> found;
    if (reader) {
        if (auto rows = reader->list(filter)) {
            found = std::move(*rows);
        } else {
            note = note_text(rows.error());
        }
    }
    add_memory(found, memory, filter);
    return found;
}

LedgerAnswer answer_list(const MaybeReader& reader, const Ledger::Records& memory, const store::TraceFilter& filter)
{
    std::string note;
    const auto found = list_of(reader, memory, filter, note);
    std::string body = R"({"requests":[)";
    for (const RequestRecord& record : found) {
        body.append(&record == &found.front() ? "" : ",").append(record_json(record));
    }
    body += "]";
    if (found.size() == filter.limit && !found.empty()) {
        body.append(R"(,"next":)").append(json_text(store::Cursor::of(found.back()).text()));
    }
    if (!note.empty()) {
        body.append(R"(,"note":)").append(json_text(note));
    }
    return {200, body + "}"};
}

LedgerAnswer answer_one(const MaybeReader& reader, const Ledger::Records& memory, const std::string& id)
{
    for (auto one = memory.rbegin(); one != memory.rend(); ++one) {
        if ((*one)->id == id) {
            return {200, record_json(**one, true)};
        }
    }
    if (reader) {
        const auto found = reader->find(id);
        if (!found) {
            return {503, admin::error("the database cannot be read (" + found.error().message() + ")")};
        }
        if (*found) {
            return {200, record_json(**found, true)};
        }
    }
    return {404, admin::error("no request is known by the id " + id)};
}

std::expected<store::UsageSum, LedgerAnswer> sum_of(const MaybeReader& reader, const Ledger::Records& memory,
                                                    const store::UsageQuery& query, std::string& note)
{
    store::UsageSum sum(query);
    if (reader) {
        if (auto done = reader->sum(query, sum); !done) {
            if (done.error().code == base::Errc::timed_out) {
                return std::unexpected(LedgerAnswer{503, admin::error("that is too much for one answer: ask for less time")});
            }
            note = note_text(done.error());
        }
    }
    if (!reader || !note.empty()) {
        sum = store::UsageSum(query);
        for (const auto& record : memory) {
            sum.add(*record);
        }
    }
    return sum;
}

LedgerAnswer answer_usage(const MaybeReader& reader, const Ledger::Records& memory, const store::UsageQuery& query)
{
    std::string note;
    const auto summed = sum_of(reader, memory, query, note);
    if (!summed) {
        return summed.error();
    }
    const store::UsageSum& sum = *summed;
    Json rows = Json::array();
    for (const auto& [key, cell] : sum.cells()) {
        rows.push_back(row_json(key, cell));
    }
    Json json{{"by", store::to_string(query.by)},
              {"bucket_s", query.bucket.count()},
              {"since", admin::timestamp(query.since)},
              {"until", admin::timestamp(query.until)},
              {"rows", std::move(rows)}};
    if (sum.left_out() > 0) {
        json["left_out"] = sum.left_out();
    }
    if (!note.empty()) {
        json["note"] = note;
    }
    return {200, json.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

} // namespace herd::app
