#pragma once
// The JSON that users and scripts of Ollama Herd know: /fleet/* and /dashboard/api/*. Reading only.
// Source: reference/parity.md 2.3, 2.4, 2.5. The list for people is docs/RECORDS.md.
#include "herd/admin/admin.hpp"
#include "proxy/model_rules.hpp"

#include <memory>
#include <string_view>

namespace herd::app::admin {

[[nodiscard]] inline bool is_compat_path(std::string_view path)
{
    return path.starts_with("/fleet/") || path.starts_with("/dashboard/api/");
}

/// Answers a GET of such a path. `rules`: of models; null: there are none. What else is handed in outlives the task. Thread: the exchange's loop.
[[nodiscard]] net::Task<LedgerAnswer> compat_answer(http::ServerExchange& exchange, proxy::Scheduler& scheduler, const Controls& controls,
                                                     std::shared_ptr<const proxy::ModelRules> rules);

} // namespace herd::app::admin
