#include "http/internal/chunk_reader.hpp"

#include "http/internal/grammar.hpp"

#include <algorithm>

namespace herd::http::internal {

namespace {

constexpr const char* limit_passed = "chunk"; // the context of too_large
constexpr std::uint8_t digits_max = 15;       // 2^60 bytes: no sum of ours overflows

int hex_value(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/// Fields that must not come behind the body, where they would contradict the head.
bool is_forbidden_trailer(std::string_view name)
{
    return name == "content-length" || name == "transfer-encoding" || name == "host";
}

} // namespace

void ChunkReader::restart()
{
    left_ = 0;
    extension_bytes_ = trailer_bytes_ = 0;
    name_length_ = digits_ = 0;
    state_ = State::size_first;
}

base::Result<ChunkReader::Piece> ChunkReader::next(std::string_view input)
{
    Piece piece;
    while (piece.consumed < input.size() && state_ != State::done) {
        if (state_ == State::payload) {
            const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size() - piece.consumed));
            piece.payload = input.substr(piece.consumed, take);
            piece.consumed += take;
            left_ -= take;
            if (left_ == 0) {
                state_ = State::payload_cr;
            }
            break;
        }
        if (const char* wrong = step(input[piece.consumed]); wrong != nullptr) {
            return base::fail(wrong == limit_passed ? base::Errc::too_large : base::Errc::malformed, wrong);
        }
        ++piece.consumed;
    }
    piece.complete = state_ == State::done;
    return piece;
}

const char* ChunkReader::step(char c)
{
    switch (state_) {
    case State::size_first:
    case State::size:
    case State::extension:
    case State::size_lf: return step_size(c);
    case State::payload_cr:
        state_ = State::payload_lf;
        return c == '\r' ? nullptr : "chunk end";
    case State::payload_lf:
        state_ = State::size_first;
        digits_ = 0;
        return c == '\n' ? nullptr : "chunk end";
    default: return step_trailer(c);
    }
}

const char* ChunkReader::step_size(char c)
{
    if (state_ == State::size_lf) {
        state_ = left_ > 0 ? State::payload : State::trailer_first;
        return c == '\n' ? nullptr : "chunk size";
    }
    if (state_ == State::extension) {
        if (c == '\r') {
            state_ = State::size_lf;
            return nullptr;
        }
        if (++extension_bytes_ > limits_.chunk_extension_bytes) {
            return limit_passed;
        }
        return is_value(c) ? nullptr : "chunk extension";
    }
    if (const int digit = hex_value(c); digit >= 0) {
        if (++digits_ > digits_max) {
            return "chunk size";
        }
        left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
        state_ = State::size;
        return nullptr;
    }
    if (state_ == State::size_first || (c != '\r' && c != ';')) {
        return "chunk size";
    }
    state_ = c == '\r' ? State::size_lf : State::extension;
    return nullptr;
}

const char* ChunkReader::step_trailer(char c)
{
    if (++trailer_bytes_ > limits_.trailer_bytes) {
        return limit_passed;
    }
    switch (state_) {
    case State::trailer_first:
        if (c == '\r') {
            state_ = State::end_lf;
            return nullptr;
        }
        name_length_ = 0;
        state_ = State::trailer_name;
        [[fallthrough]];
    case State::trailer_name:
        if (c == ':' && name_length_ > 0) {
            state_ = State::trailer_value;
            const std::string_view name(name_.data(), std::min<std::size_t>(name_length_, name_.size()));
            return name_length_ <= name_.size() && is_forbidden_trailer(name) ? "trailer" : nullptr;
        }
        if (name_length_ < name_.size()) {
            name_[name_length_] = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        }
        name_length_ = static_cast<std::uint8_t>(std::min(name_length_ + 1, 255));
        return is_token(c) ? nullptr : "trailer";
    case State::trailer_value:
        if (c == '\r') {
            state_ = State::trailer_lf;
            return nullptr;
        }
        return is_value(c) ? nullptr : "trailer";
    case State::trailer_lf:
        state_ = State::trailer_first;
        return c == '\n' ? nullptr : "trailer";
    default: // end_lf
        state_ = State::done;
        return c == '\n' ? nullptr : "trailer";
    }
}

} // namespace herd::http::internal
