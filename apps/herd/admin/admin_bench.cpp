// Benchmarks, under the paths and in the shapes that users of Ollama Herd know.
#include "base/text.hpp"
#include "herd/admin/policy_paths.hpp"
#include "herd/admin/query.hpp"

#include <utility>

namespace herd::app::admin {

namespace {

using What = bench::Inquiry::What;

constexpr std::string_view all_runs = "/dashboard/api/benchmarks";
constexpr std::string_view below = "/dashboard/api/benchmarks/";
constexpr std::string_view start = "/dashboard/api/benchmarks/start";
constexpr std::string_view cancel = "/dashboard/api/benchmarks/cancel";
constexpr std::size_t body_limit = 64 * 1024;
constexpr std::size_t limit_max = 1000;

} // namespace

bool is_benchmark_path(std::string_view path) { return path == all_runs || path.starts_with(below); }

bool is_benchmark_change(std::string_view method, std::string_view path) { return method == "POST" && (path == start || path == cancel); }

net::Task<Admin::Reply> Admin::read_benchmarks(http::ServerExchange& exchange, std::string_view path)
{
    bench::Inquiry inquiry{.what = What::list};
    Query query(exchange.head().query(), {"limit"});
    inquiry.limit = query.number("limit", inquiry.limit, 1, limit_max);
    if (!query.fault().empty()) {
        co_return Reply{400, error(query.fault())};
    }
    if (path != all_runs) {
        const std::string_view name = path.substr(below.size());
        inquiry.what = name == "progress" ? What::progress : What::one;
        auto id = base::percent_decoded(name);
        if (!id) {
            co_return Reply{400, error("bad escape in the path")};
        }
        inquiry.text = std::move(*id);
    }
    auto told = co_await controls_->benchmarks(exchange.loop(), std::move(inquiry));
    co_return Reply{told.status, std::move(told.body)};
}

net::Task<Admin::Reply> Admin::change_benchmarks(http::ServerExchange& exchange, std::string_view path)
{
    auto body = co_await exchange.read_all(body_limit);
    if (!body) {
        co_return unread_reply(body.error(), body_limit);
    }
    bench::Inquiry inquiry{.what = path == start ? What::start : What::cancel, .text = std::move(*body)};
    auto told = co_await controls_->benchmarks(exchange.loop(), std::move(inquiry));
    co_return Reply{told.status, std::move(told.body)};
}

} // namespace herd::app::admin
