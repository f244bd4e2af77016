#pragma once
// A connection's place among all connections of its pool: a ring without memory of its own, which the connection
// leaves by itself when it dies. So the pool can reach those in use without owning them.
#include "base/ip.hpp"
#include "base/peer_trust.hpp"

namespace herd::http {
class ClientConnection;
}

namespace herd::http::internal {

/// Alone at first. Thread: the pool's.
class Place {
public:
    Place() = default;
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { leave(); }

    /// Stands behind `head` from now on.
    void join(Place& head, ClientConnection& who, base::Endpoint where, const base::PeerTrust* recognised)
    {
        leave();
        connection = &who;
        to = where;
        trust = recognised;
        next_ = head.next_;
        before_ = &head;
        next_->before_ = this;
        head.next_ = this;
    }
    void leave()
    {
        next_->before_ = before_;
        before_->next_ = next_;
        next_ = before_ = this;
    }
    [[nodiscard]] Place* next() const { return next_; }

    ClientConnection* connection{nullptr}; ///< null at the head
    base::Endpoint to{};
    const base::PeerTrust* trust{nullptr}; ///< null: plain

private:
    Place* next_{this};
    Place* before_{this};
};

} // namespace herd::http::internal
