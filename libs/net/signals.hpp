#pragma once
// The signals of a server, as calls on its loop: the first SIGTERM or SIGINT asks for a graceful end, the
// second for an end now, SIGHUP for a reload. SIGPIPE is ignored: a peer that went away is an error value.
#include "net/loop.hpp"

#include <memory>

namespace herd::net {

struct SignalHandlers {
    Callback graceful{}; ///< first SIGTERM or SIGINT
    Callback now{};      ///< every later one
    Callback reload{};   ///< each SIGHUP
};

/// Thread: the loop's. One per process. Destroying it gives the signals their default meaning back.
class Signals {
public:
    Signals(Loop& loop, SignalHandlers handlers);
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;
    ~Signals();

private:
    struct State;
    std::shared_ptr<State> state_;
};

} // namespace herd::net
