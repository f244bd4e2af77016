#include "store/internal/trace_schema.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::store::internal {

namespace {

using Json = nlohmann::json;

std::int64_t us(base::Duration duration)
{
    return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

std::string text_of(const Json& json)
{
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Names come from the network: what needs more than quotes around it goes the long way.
void append_text(std::string& out, std::string_view text)
{
    const bool plain = std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7F && c != '"' && c != '\\'; });
    if (plain) {
        out.append(1, '"').append(text).append(1, '"');
    } else {
        out += text_of(text);
    }
}

/// Written by hand: it is made for every request, and a tree of JSON values took ten times as long.
void append_attempts(std::string& out, const std::vector<RecordedAttempt>& attempts)
{
    out.clear();
    for (const RecordedAttempt& attempt : attempts) {
        out += out.empty() ? "[[" : ",[";
        append_text(out, attempt.node);
        out += ',';
        append_text(out, attempt.outcome);
        std::array<char, 24> number{};
        const auto end = std::to_chars(number.data(), number.data() + number.size(), us(attempt.took)).ptr;
        out.append(1, ',').append(number.data(), end).append(1, ']');
    }
    out += attempts.empty() ? "[]" : "]";
}

/// Binds in order, so that no column can be forgotten without all the others moving.
class Writer {
public:
    Writer(Statement& statement, int row) : statement_(statement), at_(row * trace_column_count) {}
    Writer& operator<<(std::string_view text)
    {
        statement_.bind(++at_, text);
        return *this;
    }
    Writer& bytes(std::string_view bytes)
    {
        statement_.bind_bytes(++at_, bytes);
        return *this;
    }
    Writer& operator<<(std::int64_t value)
    {
        statement_.bind(++at_, value);
        return *this;
    }
    Writer& operator<<(base::Duration value) { return *this << us(value); }
    template <class T>
    Writer& operator<<(const std::optional<T>& value)
    {
        if (value) {
            return *this << *value;
        }
        statement_.bind_null(++at_);
        return *this;
    }
    Writer& operator<<(double value)
    {
        statement_.bind(++at_, value);
        return *this;
    }

private:
    Statement& statement_;
    int at_;
};

class Reader {
public:
    explicit Reader(const Statement& statement) : statement_(statement) {}
    Reader& operator>>(std::string& text)
    {
        text = statement_.text(++at_);
        return *this;
    }
    Reader& operator>>(std::int64_t& value)
    {
        value = statement_.integer(++at_);
        return *this;
    }
    Reader& operator>>(std::uint64_t& value)
    {
        value = static_cast<std::uint64_t>(statement_.integer(++at_));
        return *this;
    }
    Reader& operator>>(int& value)
    {
        value = static_cast<int>(statement_.integer(++at_));
        return *this;
    }
    Reader& operator>>(bool& value)
    {
        value = statement_.integer(++at_) != 0;
        return *this;
    }
    Reader& operator>>(double& value)
    {
        value = statement_.number(++at_);
        return *this;
    }
    Reader& operator>>(base::Duration& value)
    {
        value = std::chrono::microseconds{statement_.integer(++at_)};
        return *this;
    }
    template <class T>
    Reader& operator>>(std::optional<T>& value)
    {
        if (statement_.is_null(at_ + 1)) {
            ++at_;
            value.reset();
            return *this;
        }
        return *this >> value.emplace();
    }

private:
    const Statement& statement_;
    int at_{-1};
};

void read_attempts(const std::string& text, std::vector<RecordedAttempt>& into)
{
    const Json list = Json::parse(text, nullptr, false);
    if (!list.is_array()) {
        return;
    }
    for (const Json& one : list) {
        if (one.is_array() && one.size() == 3 && one[0].is_string() && one[1].is_string() && one[2].is_number_integer()) {
            into.push_back({one[0], one[1], std::chrono::microseconds{one[2].get<std::int64_t>()}});
        }
    }
}

std::string words_text(const std::vector<std::string>& words)
{
    return words.empty() ? std::string{"[]"} : text_of(words);
}

void read_words(const std::string& text, std::vector<std::string>& into)
{
    const Json list = Json::parse(text, nullptr, false);
    if (!list.is_array()) {
        return;
    }
    for (const Json& one : list) {
        if (one.is_string()) {
            into.push_back(one);
        }
    }
}

} // namespace

std::string insert_of(std::size_t rows)
{
    std::string row = "(?";
    for (int i = 1; i < trace_column_count; ++i) {
        row += ",?";
    }
    row += ')';
    std::string all = row;
    for (std::size_t i = 1; i < rows; ++i) {
        all.append(1, ',').append(row);
    }
    // The clock may have been set back since a former life: a number that is taken is no reason to lose a batch.
    return fmt::format("INSERT OR IGNORE INTO requests ({}) VALUES {}", trace_columns, all);
}

const std::string& wants_model_condition()
{
    static const std::string condition = [] {
        std::string paths;
        for (const ClassifiedPath& each : classified_paths) {
            paths.append(paths.empty() ? "'" : ",'").append(each.path).append("'");
        }
        return "(method = 'POST' AND path IN (" + paths + "))";
    }();
    return condition;
}

void bind_row(Statement& statement, const RequestRecord& record, RowTexts& texts, int row)
{
    append_attempts(texts.attempts, record.attempts);
    texts.tags = words_text(record.tags);
    texts.labels = words_text(record.labels);
    const auto number = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
    Writer to(statement, row);
    to << (row == 0 ? std::optional{number(record.seq)} : std::nullopt) << record.id << std::int64_t{record.at.time_since_epoch().count()} << record.client
                      << record.key << record.frontend << record.api << record.method << record.path << record.model
                      << record.requested_model << record.node << texts.attempts << number(record.tries())
                      << std::int64_t{record.status} << record.termination << std::int64_t{record.stream} << texts.tags
                      << record.session << record.priority << record.prompt_tokens << record.cached_tokens
                      << record.output_tokens << record.queue << record.connect << record.ttft << record.total << record.load
                      << record.prompt_eval << record.eval << record.tokens_per_s << number(record.bytes_in)
                      << number(record.bytes_out) << std::int64_t{record.fallback} << record.error;
    to.bytes(record.decision);
    to << texts.labels << record.num_ctx_asked << record.num_ctx_used << record.done_reason << record.user_agent;
}

RequestRecord read_row(const Statement& statement)
{
    RequestRecord record;
    std::int64_t at = 0;
    std::int64_t attempt_count = 0;
    std::string attempts;
    std::string tags;
    std::string labels;
    Reader(statement) >> record.seq >> record.id >> at >> record.client >> record.key >> record.frontend >> record.api
        >> record.method >> record.path >> record.model >> record.requested_model >> record.node >> attempts >> attempt_count
        >> record.status >> record.termination >> record.stream >> tags >> record.session >> record.priority
        >> record.prompt_tokens >> record.cached_tokens >> record.output_tokens >> record.queue >> record.connect >> record.ttft
        >> record.total >> record.load >> record.prompt_eval >> record.eval >> record.tokens_per_s >> record.bytes_in
        >> record.bytes_out >> record.fallback >> record.error >> record.decision >> labels >> record.num_ctx_asked >> record.num_ctx_used
        >> record.done_reason >> record.user_agent;
    record.at = base::WallTime{std::chrono::microseconds{at}};
    read_attempts(attempts, record.attempts);
    read_words(tags, record.tags);
    read_words(labels, record.labels);
    return record;
}

} // namespace herd::store::internal
