#pragma once
// The same small request to several nodes at once, each answered whole or not at all: merged lists, deletes,
// copies, unloads. Without a lease: none of these occupies a slot.
#include "fleet/snapshot.hpp"
#include "http/fetch.hpp"
#include "proxy/context.hpp"

#include <optional>
#include <string>
#include <vector>

namespace herd::proxy {

/// A node to be asked, as a value: snapshots come and go.
struct Target {
    base::NodeId id{};
    std::string name{};
    fleet::Address address{};
};
[[nodiscard]] Target target_of(const fleet::NodeView& node);

struct Question {
    std::string method{"GET"};
    std::string path{}; ///< with query
    std::string body{};
    base::Duration timeout{std::chrono::seconds{1}};
    bool may_repeat{true}; ///< false: never sent twice to a node, whatever happens
};

struct Reply {
    Target target{};
    base::Result<http::Answer> answer{};
    base::Duration took{};
    [[nodiscard]] bool ok() const { return answer && answer->head.status >= 200 && answer->head.status < 300; }
};

/// One reply per target, in their order, after at most question.timeout. Awaits: yes.
[[nodiscard]] net::Task<std::vector<Reply>> ask_all(Context& context, std::string own_id, std::vector<Target> targets,
                                                    Question question);

} // namespace herd::proxy
