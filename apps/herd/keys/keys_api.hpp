#pragma once
// /herd/v1/keys, /herd/v1/whoami, and logging in to the dashboard. The gate has judged before.
#include "herd/admin/gate.hpp"
#include "herd/keys/key_keeper.hpp"
#include "http/server.hpp"
#include "proxy/proxy.hpp"

#include <functional>
#include <memory>
#include <string_view>

namespace herd::app::keys {

/// Thread: its relay loop.
class KeysApi {
public:
    using Snapshots = std::function<std::shared_ptr<const fleet::Snapshot>()>;
    /// `options`: those that the proxy of this loop has at the moment; `snapshot`: the fleet as it is then.
    KeysApi(KeyKeeper& keeper, std::function<std::shared_ptr<const proxy::ProxyOptions>()> options, Snapshots snapshot)
        : keeper_(keeper), options_(std::move(options)), snapshot_(std::move(snapshot))
    {
    }

    [[nodiscard]] static bool owns(std::string_view path);
    [[nodiscard]] net::Task<void> handle(http::ServerExchange& exchange, admin::Verdict verdict);

private:
    net::Task<KeyAnswer> answer(http::ServerExchange& exchange, const admin::Verdict& verdict);
    net::Task<void> login(http::ServerExchange& exchange);
    net::Task<void> logout(http::ServerExchange& exchange);

    KeyKeeper& keeper_;
    std::function<std::shared_ptr<const proxy::ProxyOptions>()> options_;
    Snapshots snapshot_;
};

/// Answers a request that the gate refused: JSON, or for a browser that wants a page of the dashboard the login form.
[[nodiscard]] net::Task<void> refuse(http::ServerExchange& exchange, proxy::Problem problem);

} // namespace herd::app::keys
