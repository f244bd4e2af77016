#pragma once
// Two watchers over a connection to a node: one closes it when the client leaves, one when nothing has
// happened for too long. A closed connection ends whatever waits on it, so nothing else needs cancelling.
#include "http/client.hpp"
#include "http/server.hpp"

namespace herd::proxy {

/// Closes `connection` when the client of `exchange` leaves, for as long as the guard lives.
class GoneGuard {
public:
    GoneGuard(http::ServerExchange& exchange, http::ClientConnection& connection) : exchange_(exchange)
    {
        exchange_.on_client_gone([this, &connection] {
            gone_ = true;
            connection.close();
        });
        if (exchange_.client_gone()) {
            gone_ = true;
            connection.close();
        }
    }
    GoneGuard(const GoneGuard&) = delete;
    GoneGuard& operator=(const GoneGuard&) = delete;
    ~GoneGuard() { exchange_.on_client_gone(nullptr); }
    [[nodiscard]] bool gone() const { return gone_; }

private:
    http::ServerExchange& exchange_;
    bool gone_{false};
};

/// Closes `connection` when an armed deadline passes. A limit of 0 never does.
class SilenceGuard {
public:
    SilenceGuard(net::Loop& loop, http::ClientConnection& connection, base::Duration limit)
        : limit_(limit), deadline_(loop, [this, &connection] {
              expired_ = true;
              connection.close();
          })
    {
    }
    SilenceGuard(const SilenceGuard&) = delete;
    SilenceGuard& operator=(const SilenceGuard&) = delete;
    ~SilenceGuard() = default;
    void arm()
    {
        if (limit_ > base::Duration::zero()) {
            deadline_.set_after(limit_);
        }
    }
    void disarm() { deadline_.clear(); }
    [[nodiscard]] bool expired() const { return expired_; }

private:
    base::Duration limit_;
    bool expired_{false};
    net::Deadline deadline_;
};

} // namespace herd::proxy
