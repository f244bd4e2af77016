#pragma once
// A program that runs for one request: started without a shell and with nothing of ours but its two pipes, in a process
// group of its own, which ends with it. The loop never waits for it.
//
//     auto child = Child::start(loop, {.command = {"mflux-generate", "--prompt=a cat"}});
//     exchange.on_client_gone([&] { (*child)->kill(); });
//     const ChildEnd end = co_await (*child)->ended();
#include "base/error.hpp"
#include "net/loop.hpp"

#include <memory>
#include <string>
#include <vector>

namespace herd::net {

struct ChildOptions {
    std::vector<std::string> command{}; ///< the program, looked for on PATH, and its arguments
    std::string directory{};            ///< where it works; empty: ours
    std::size_t output_max{1U << 20U};  ///< of its standard output; beyond, it is killed
    std::size_t errors_max{4096};       ///< of its standard error, the last bytes of which are kept
};

struct ChildEnd {
    bool well{false};       ///< it ended by itself, with status 0
    bool too_large{false};  ///< killed, for it wrote more than output_max
    std::string how{};      ///< "ended with status 1", "was killed by signal 9"
    std::string output{};
    std::string errors{};
};

/// Thread: the loop's.
class Child {
public:
    /// Its environment is ours without what is named HERD_…, which may be secret.
    /// Errors: io, not_found; the context says why it cannot be started.
    [[nodiscard]] static base::Result<std::unique_ptr<Child>> start(Loop& loop, ChildOptions options);
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    /// Kills what still runs.
    ~Child();
    /// The whole group, at once.
    void kill() noexcept;
    /// Until the program has ended; whatever of its group is left is killed then.
    [[nodiscard]] Task<ChildEnd> ended();

private:
    struct State;
    explicit Child(std::shared_ptr<State> state);
    std::shared_ptr<State> state_;
};

} // namespace herd::net
