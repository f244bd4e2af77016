#include "proxy/question.hpp"

#include "proxy/json_reader.hpp"
#include "proxy/profile.hpp"
#include "proxy/routes.hpp"

#include <algorithm>
#include <array>

namespace herd::proxy {
namespace {

constexpr std::size_t path_bytes_max = 256;

/// The member "path"; empty when there is none that could be one.
std::string path_of(std::string_view body)
{
    JsonReader reader(body);
    std::string path;
    if (!reader.enter()) {
        return path;
    }
    while (const auto key = reader.next_key()) {
        std::array<char, 8> space{};
        if (JsonReader::lower_key(*key, space) != "path" || reader.kind() != JsonReader::Kind::string) {
            reader.skip();
        } else if (!JsonReader::unescape(reader.string(), path, path_bytes_max)) {
            path.clear();
        }
    }
    return path;
}

std::string_view path_like(const BodyPeek& peek) { return peek.messages_empty ? "/api/generate" : "/api/chat"; }

} // namespace

std::expected<fleet::Profile, Problem> read_question(std::string_view body, const http::Fields& fields,
                                                     const base::Endpoint& peer, base::Instant now,
                                                     const ProxyOptions& options)
{
    auto peek = peek_json(body);
    if (!peek.object || peek.broken) {
        return std::unexpected(bad_request("a JSON object with a model is needed"));
    }
    if (peek.model_or_name().empty()) {
        return std::unexpected(bad_request("model is required"));
    }
    const auto path = path_of(body);
    const auto route = classify("POST", path.empty() ? path_like(peek) : std::string_view(path), "");
    if (route.handling != Handling::inference && route.handling != Handling::unknown_post) {
        return std::unexpected(bad_request("no request to " + path + " is routed to a model's slot"));
    }
    auto model = read_model(peek.model_or_name(), route);
    if (!model) {
        auto problem = std::move(model.error());
        problem.status = 400;
        return std::unexpected(std::move(problem));
    }
    const auto wishes = read_wishes(fields);
    round_num_ctx(peek, options.num_ctx_buckets);
    const auto patience = std::min(options.queue_timeout, wishes.deadline.value_or(options.queue_timeout));
    return make_profile(route, fleet::Need::slot, *model, peek, wishes, peer, now + patience);
}

} // namespace herd::proxy
