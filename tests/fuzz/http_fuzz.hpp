#pragma once
// What both HTTP fuzz targets do: parse in one piece and cut up, and compare.
#include "http/parser.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace herd::fuzz {

template <class Head>
struct Message {
    Head head;
    std::string body{};
};

template <class Head>
struct Reading {
    bool failed{false};
    bool open{false}; // inside a message at the end of the input
    std::vector<Message<Head>> complete{};
};

inline void require(bool condition)
{
    if (!condition) {
        std::abort();
    }
}

inline http::RequestHead& head_of(http::Parser& parser, http::RequestHead* /*which*/) { return parser.request(); }
inline http::ResponseHead& head_of(http::Parser& parser, http::ResponseHead* /*which*/) { return parser.response(); }

/// Feeds `bytes` in parts of `part` bytes (0: all at once).
template <class Head>
Reading<Head> read(http::Parser& parser, std::string_view bytes, std::size_t part)
{
    Reading<Head> reading;
    Message<Head> current;
    while (!bytes.empty()) {
        const std::string copy(bytes.substr(0, part == 0 ? bytes.size() : part)); // its own block, for ASan
        std::string_view rest = copy;
        bytes.remove_prefix(rest.size());
        while (!rest.empty()) {
            const auto step = parser.execute({rest.data(), rest.size()});
            if (!step) {
                reading.failed = true;
                require(!parser.execute({"x", 1})); // an error is final
                return reading;
            }
            require(step->consumed <= rest.size());
            require(step->consumed > 0 || step->head_complete);
            if (step->head_complete) {
                current = {head_of(parser, static_cast<Head*>(nullptr))};
            }
            for (const auto piece : parser.body()) {
                require(!piece.empty() && piece.data() >= rest.data() && piece.data() + piece.size() <= rest.data() + rest.size());
                current.body += piece;
            }
            if (step->message_complete) {
                reading.complete.push_back(current);
            }
            rest.remove_prefix(step->consumed);
        }
    }
    reading.open = !parser.between_messages();
    return reading;
}

inline bool same(const http::Fields& a, const http::Fields& b)
{
    if (a.size() != b.size()) {
        return false;
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (a.at(i).name != b.at(i).name || a.at(i).value != b.at(i).value) {
            return false;
        }
    }
    return true;
}

/// Fields that serialize() writes by itself.
inline void drop_framing(http::Fields& fields)
{
    for (const auto* name : {"Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive"}) {
        fields.remove(name);
    }
}

inline std::string framed(http::Framing framing, const std::string& body)
{
    if (framing != http::Framing::chunked) {
        return body;
    }
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    for (std::size_t at = 0; at < body.size(); at += 10) {
        const std::string piece = body.substr(at, 10);
        out += digits[piece.size()];
        out += "\r\n" + piece + "\r\n";
    }
    return out + "0\r\n\r\n";
}

template <class Head>
void same_readings(const Reading<Head>& a, const Reading<Head>& b)
{
    require(a.failed == b.failed && a.open == b.open && a.complete.size() == b.complete.size());
    for (std::size_t i = 0; i < a.complete.size(); ++i) {
        require(a.complete[i].body == b.complete[i].body && same(a.complete[i].head.fields, b.complete[i].head.fields));
    }
}

} // namespace herd::fuzz
