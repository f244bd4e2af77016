#pragma once
// A tool does one thing at a time: who waits for it, and what runs. Herds wait in a line of their own and send one at a
// time; this line is for several herds, and for clients that ask the node itself.
#include "http/server.hpp"
#include "net/child.hpp"
#include "net/timer.hpp"

#include <list>

namespace herd::node {

/// One request that wants, or has, the tool. Lives in its handler's frame.
struct ToolUse {
    explicit ToolUse(net::Loop& loop) : wake(loop), timer(loop) {}
    net::Event wake;
    net::Timer timer;           ///< its time
    net::Child* child{nullptr}; ///< once it runs
    bool late{false};           ///< its time is over
    bool gone{false};           ///< its client left
    bool stopping{false};       ///< so is the program
    [[nodiscard]] bool over() const { return late || gone || stopping; }
    /// Whatever it is at, it ends now.
    void end()
    {
        if (child != nullptr) {
            child->kill();
        }
        wake.notify();
    }
};

/// Thread: the loop's.
class ToolLine {
public:
    static constexpr std::size_t uses_max = 16;
    [[nodiscard]] bool full() const { return uses_.size() >= uses_max; }
    void stop()
    {
        for (auto* use : uses_) {
            use->stopping = true;
            use->end();
        }
    }

    /// A place in the line, from now to the end of the scope.
    class Place {
    public:
        Place(ToolLine& line, ToolUse& use) : line_(line), at_(line.uses_.insert(line.uses_.end(), &use)) {}
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place()
        {
            line_.uses_.erase(at_);
            if (!line_.uses_.empty()) {
                line_.uses_.front()->wake.notify();
            }
        }
        [[nodiscard]] bool is_first() const { return line_.uses_.front() == *at_; }

    private:
        ToolLine& line_;
        std::list<ToolUse*>::iterator at_;
    };

private:
    std::list<ToolUse*> uses_{}; ///< the first one has it
};

} // namespace herd::node
