#include "http/parser.hpp"

#include "base/assert.hpp"
#include "http/internal/chunk_reader.hpp"
#include "http/internal/head_read.hpp"
#include "http/internal/head_scan.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <variant>

namespace herd::http {

namespace {

enum class Phase : std::uint8_t { between, head, body, done, broken };

constexpr std::size_t refused_kept = 256; // of a head, to tell what it was about

} // namespace

struct Parser::State {
    State(Role r, const ParserLimits& l) : role(r), limits(l), scan(r, limits), chunks(limits)
    {
        if (role == Role::response) {
            head.emplace<ResponseHead>();
        }
    }

    base::Result<Step> read_head(std::string_view input);
    base::Result<void> take_head(std::string_view bytes);
    base::Result<Step> read_body(std::string_view input);
    base::Result<std::size_t> skip_empty_line(std::string_view input);
    base::Result<Step> step(std::string_view bytes);
    void add_piece(std::string_view piece) { pieces[piece_count++] = piece; }

    Role role;
    Phase phase{Phase::between};
    Framing body_framing{Framing::none};
    std::uint8_t blank{0};     // bytes of an empty line before a request
    std::uint8_t piece_count{0};
    bool no_body{false};
    ParserLimits limits;
    internal::HeadScan scan;
    internal::ChunkReader chunks;
    std::uint64_t left{0};     // of a body with Framing::length
    std::string partial;       // a head that came in pieces, or the beginning of one that was refused
    std::variant<RequestHead, ResponseHead> head;
    std::span<std::string_view> pieces;
    std::unique_ptr<std::array<std::string_view, pieces_max>> own_pieces;
};

Parser::Parser(Role role, ParserLimits limits) : state_(std::make_unique<State>(role, limits)) {}
Parser::~Parser() = default;

std::span<const std::string_view> Parser::body() const { return {state_->pieces.data(), state_->piece_count}; }
RequestHead& Parser::request() { return std::get<RequestHead>(state_->head); }
ResponseHead& Parser::response() { return std::get<ResponseHead>(state_->head); }
void Parser::expect_no_body(bool no_body) { state_->no_body = no_body; }
bool Parser::between_messages() const { return state_->phase == Phase::between || state_->phase == Phase::done; }

std::string_view Parser::refused_target() const
{
    const State& s = *state_;
    if (s.role != Role::request || (s.phase != Phase::broken && s.phase != Phase::head)) {
        return {};
    }
    std::string_view line = s.partial;
    line = line.substr(0, line.find_first_of("\r\n"));
    const auto begin = line.find(" /");
    return begin == line.npos ? std::string_view{} : line.substr(begin + 1, line.find(' ', begin + 1) - begin - 1);
}

bool Parser::finish()
{
    State& s = *state_;
    s.piece_count = 0;
    const bool completes = s.phase == Phase::body && s.body_framing == Framing::until_close;
    s.phase = completes ? Phase::done : Phase::broken;
    return completes;
}

void Parser::use_pieces(std::span<std::string_view> storage)
{
    HERD_ASSERT(storage.empty() || storage.size() >= pieces_max);
    state_->pieces = storage;
    state_->piece_count = 0;
}

base::Result<Parser::Step> Parser::execute(std::span<const char> input)
{
    State& s = *state_;
    s.piece_count = 0;
    if (input.empty()) {
        return Step{};
    }
    if (s.pieces.empty()) {
        s.own_pieces = std::make_unique<std::array<std::string_view, pieces_max>>();
        s.pieces = *s.own_pieces;
    }
    auto step = s.step({input.data(), input.size()});
    if (!step) {
        s.phase = Phase::broken;
        s.piece_count = 0;
    } else if (step->message_complete) {
        s.phase = Phase::done;
    }
    return step;
}

base::Result<Parser::Step> Parser::State::step(std::string_view bytes)
{
    switch (phase) {
    case Phase::body: return read_body(bytes);
    case Phase::broken: return base::fail(base::Errc::malformed, "after an error");
    case Phase::done:
        phase = Phase::between;
        blank = 0;
        break;
    case Phase::between:
    case Phase::head: break;
    }
    return read_head(bytes);
}

/// RFC 9112 §2.2: one empty line before a request is ignored; old clients send it behind a body.
base::Result<std::size_t> Parser::State::skip_empty_line(std::string_view input)
{
    std::size_t skipped = 0;
    while (skipped < input.size() && blank < 2) {
        const char c = input[skipped];
        if (blank == 0 && c != '\r') {
            break;
        }
        if (blank == 1 && c != '\n') {
            return base::fail(base::Errc::malformed, "bare CR");
        }
        ++blank;
        ++skipped;
    }
    return skipped;
}

base::Result<Parser::Step> Parser::State::read_head(std::string_view input)
{
    Step step;
    if (phase == Phase::between) {
        if (role == Role::request) {
            const auto skipped = skip_empty_line(input);
            if (!skipped) {
                return std::unexpected(skipped.error());
            }
            step.consumed = *skipped;
            input.remove_prefix(*skipped);
            if (input.empty()) {
                return step;
            }
        }
        phase = Phase::head;
        scan.restart();
        partial.clear();
    }
    // The usual head is whole in one read and is parsed where it lies; a broken one is put together first.
    const std::size_t before = partial.size();
    std::string_view bytes = input;
    if (before > 0) {
        partial.append(input.substr(0, limits.head_bytes + 1 - std::min<std::size_t>(before, limits.head_bytes)));
        bytes = partial;
    }
    const auto complete = scan.scan(bytes);
    if (!complete) {
        partial = std::string(bytes.substr(0, refused_kept)); // (they may lie in it)
        return std::unexpected(complete.error());
    }
    if (!*complete) {
        if (before == 0) {
            partial = input;
        }
        step.consumed += input.size();
        return step;
    }
    if (const auto ok = take_head(bytes.substr(0, scan.size())); !ok) {
        partial = std::string(bytes.substr(0, refused_kept));
        return std::unexpected(ok.error());
    }
    step.consumed += scan.size() - before;
    step.head_complete = true;
    step.message_complete = phase == Phase::done;
    if (partial.capacity() > 4096) {
        std::string().swap(partial); // (assigning keeps the memory)
    }
    return step;
}

base::Result<void> Parser::State::take_head(std::string_view bytes)
{
    const auto read = [&](auto& into) {
        auto fields = std::move(into.fields); // keeps its memory from head to head
        fields.clear();
        into = {.fields = std::move(fields)};
        auto ok = internal::read_head(bytes, scan.fields(), into);
        left = into.content_length;
        body_framing = into.framing;
        return ok;
    };
    if (auto ok = std::visit(read, head); !ok) {
        return ok;
    }
    if (no_body && role == Role::response && std::get<ResponseHead>(head).status >= 200) {
        body_framing = Framing::none;
    }
    chunks.restart();
    const bool empty = body_framing == Framing::none || (body_framing == Framing::length && left == 0);
    phase = empty ? Phase::done : Phase::body;
    return {};
}

base::Result<Parser::Step> Parser::State::read_body(std::string_view input)
{
    Step step;
    if (body_framing == Framing::chunked) {
        while (step.consumed < input.size() && piece_count < pieces_max) {
            const auto piece = chunks.next(input.substr(step.consumed));
            if (!piece) {
                return std::unexpected(piece.error());
            }
            step.consumed += piece->consumed;
            if (!piece->payload.empty()) {
                add_piece(piece->payload);
            }
            if (piece->complete) {
                step.message_complete = true;
                break;
            }
        }
        return step;
    }
    step.consumed = body_framing == Framing::length
                        ? static_cast<std::size_t>(std::min<std::uint64_t>(left, input.size()))
                        : input.size();
    add_piece(input.substr(0, step.consumed));
    if (body_framing == Framing::length) {
        left -= step.consumed;
        step.message_complete = left == 0;
    }
    return step;
}

} // namespace herd::http
