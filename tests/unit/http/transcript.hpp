#pragma once
// Feeds bytes to a Parser cut as one likes and writes down what it said, so that two ways of cutting can be
// compared.
#include "http/parser.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace herd::http::testing {

struct Transcript {
    std::string error{}; ///< "malformed: target", or empty
    std::vector<RequestHead> requests{};
    std::vector<ResponseHead> responses{};
    std::vector<std::string> bodies{};
    std::size_t complete{0};
    std::size_t consumed{0};
    bool operator==(const Transcript& other) const
    {
        return error == other.error && bodies == other.bodies && complete == other.complete
               && requests.size() == other.requests.size() && responses.size() == other.responses.size();
    }
};

inline Transcript feed(Parser& parser, Parser::Role role, const std::vector<std::string_view>& parts)
{
    Transcript t;
    for (const std::string_view whole : parts) {
        // An exact copy on the heap: reading past its end is seen by the sanitizer.
        const std::vector<char> copy(whole.begin(), whole.end());
        std::string_view rest(copy.data(), copy.size());
        while (!rest.empty()) {
            const auto step = parser.execute({rest.data(), rest.size()});
            if (!step) {
                t.error = std::string(to_string(step.error().code)) + ": " + step.error().context;
                return t;
            }
            if (step->head_complete) {
                if (role == Parser::Role::request) {
                    t.requests.push_back(parser.request());
                } else {
                    t.responses.push_back(parser.response());
                }
                t.bodies.emplace_back();
            }
            for (const auto piece : parser.body()) {
                t.bodies.back().append(piece);
            }
            t.complete += step->message_complete ? 1 : 0;
            t.consumed += step->consumed;
            rest.remove_prefix(step->consumed);
        }
    }
    return t;
}

inline Transcript parse(Parser::Role role, std::string_view bytes, ParserLimits limits = {})
{
    Parser parser(role, limits);
    return feed(parser, role, {bytes});
}

/// Cut into two at every place, and into single bytes: what was read must be the same each time.
/// Returns the first cut that differs, or npos.
inline std::size_t first_cut_that_differs(Parser::Role role, std::string_view bytes, ParserLimits limits = {})
{
    const Transcript whole = parse(role, bytes, limits);
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        Parser parser(role, limits);
        if (!(feed(parser, role, {bytes.substr(0, cut), bytes.substr(cut)}) == whole)) {
            return cut;
        }
    }
    std::vector<std::string_view> single;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        single.push_back(bytes.substr(i, 1));
    }
    Parser parser(role, limits);
    return feed(parser, role, single) == whole ? std::string_view::npos : bytes.size();
}

} // namespace herd::http::testing
