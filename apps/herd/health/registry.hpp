#pragma once
// All health checks of herd: what each looks for, what it means and what to do. A check is a pure function over
// evidence; docs/HEALTH.md is generated from this table.
#include "herd/health/finding.hpp"
#include "herd/health/history.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace herd::app::health {

/// What only the program itself knows.
struct Own {
    std::string version{};       ///< "0.1.0"
    base::Instant started{};
    bool discovery{false};       ///< LANA is on
    bool open_join{false};       ///< anyone on the LAN may join
    bool port_heard{true};       ///< false: UDP 11436 is held by another program
    std::uint16_t discovery_port{11436};
    std::vector<std::string> blocked_interfaces{}; ///< "eth0: why" where sending fails
    std::string disk_path{};     ///< where records and state are kept
    std::optional<base::Bytes> disk_total{};
    std::optional<base::Bytes> disk_free{};
    bool keeps_records{false};
    std::string records_error{}; ///< why the last write failed; empty: it did not
    std::string state_error{};   ///< the same of the nodes that are remembered over a restart
    int queue_per_model{256};
    /// A pull of a required model that failed and will be tried again.
    struct RequiredFailed {
        std::string node{};
        std::string model{};
        std::string reason{};
        int failures{0};
        base::Instant next_try{};
    };
    std::vector<RequiredFailed> required_failed{};
    std::vector<RequiredFailed> pins_failed{}; ///< the same of pinned models that did not load, or did not stay
    /// A name that clients may ask for, and the model that it stands for in the end.
    struct Alias {
        std::string name{};
        std::string model{};
    };
    std::vector<Alias> aliases{};
    /// A frontend of which everything is sent to one node.
    struct Sent {
        std::string frontend{};
        std::string node{}; ///< its id
    };
    std::vector<Sent> sent{};
};

/// Everything a check may look at. Borrowed for the call.
struct Evidence {
    base::Instant now{};
    const fleet::Snapshot& fleet;
    const History& history;
    const Own& own;
};

using Findings = std::vector<Finding>;

/// "1 model", "3 models".
[[nodiscard]] std::string counted(std::uint64_t number, std::string_view noun);

struct Check {
    std::string_view id{};
    std::string_view title{};
    std::string_view meaning{}; ///< when it fires, with the thresholds
    std::string_view advice{};  ///< general; a finding may carry a more exact one
    std::string_view severity{}; ///< as the table in docs/HEALTH.md says it: "critical", "warning; critical when …"
    void (*look)(const Evidence& evidence, Findings& out){nullptr};
    /// How long it must hold before it is said, and be gone before it is withdrawn: findings do not flap.
    base::Duration raise_after{0};
    base::Duration clear_after{std::chrono::seconds{15}};
};

/// In the order of docs/HEALTH.md. Ids are stable and unique.
[[nodiscard]] std::span<const Check> registry();

/// The parts of it, by subject.
[[nodiscard]] std::span<const Check> node_checks();
[[nodiscard]] std::span<const Check> host_checks();
[[nodiscard]] std::span<const Check> model_checks();
[[nodiscard]] std::span<const Check> request_checks();
[[nodiscard]] std::span<const Check> own_checks();

/// docs/HEALTH.md.
[[nodiscard]] std::string reference();

} // namespace herd::app::health
