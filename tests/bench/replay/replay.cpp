#include "replay.hpp"

#include <algorithm>

namespace herd::replay {
namespace {

constexpr double begin_s = 30; ///< nodes are known before the first request
constexpr int attempts_max = 8;

class Stage final : public Host {
public:
    Stage(const Workload& workload, std::uint64_t seed, bool check);
    Run run(const PolicyMaker& make);

    [[nodiscard]] const Workload& workload() const override { return workload_; }
    [[nodiscard]] Agenda& agenda() override { return agenda_; }
    void send(int request, int node) override;
    void refuse(int request, const std::string& reason) override;
    [[nodiscard]] NodeModel& node(int index) override { return *nodes_[static_cast<std::size_t>(index)]; }
    [[nodiscard]] bool finished() const override { return open_ == 0; }
    [[nodiscard]] std::uint64_t seed() const override { return seed_; }

private:
    void arrive(int request);
    void close(int request, bool served);
    void ended(int node, int request, const Ended& ended);
    void skip(int request);
    Fate& fate(int request) { return run_.fates[static_cast<std::size_t>(request)]; }

    const Workload& workload_;
    std::uint64_t seed_;
    bool check_;
    Agenda agenda_{};
    std::vector<std::unique_ptr<NodeModel>> nodes_{};
    std::vector<std::vector<int>> followers_{};
    std::vector<std::vector<int>> tried_{};
    std::vector<int> at_node_{}; ///< where it is now; −1: nowhere
    std::size_t open_{0};        ///< requests that have not met their fate
    std::size_t steps_{0};
    Run run_{};
    PolicyPtr policy_{};
};

Stage::Stage(const Workload& workload, std::uint64_t seed, bool check) : workload_(workload), seed_(seed), check_(check)
{
    const auto count = workload.requests.size();
    run_.fates.resize(count);
    run_.sent_to.resize(workload.nodes.size());
    followers_.resize(count);
    tried_.resize(count);
    at_node_.resize(count, -1);
    open_ = count;
    for (int n = 0; n < nodes(); ++n) {
        nodes_.push_back(std::make_unique<NodeModel>(
            agenda_, workload_, n, seed,
            NodeModel::Ears{[this](int request) {
                                auto& f = fate(request);
                                f.first_token = agenda_.now();
                            },
                            [this, n](int request, const Ended& what) { ended(n, request, what); },
                            [this, n] { policy_->memory_changed(n); }}));
        for (const auto& span : workload.nodes[static_cast<std::size_t>(n)].down) {
            agenda_.at(begin_s + span.from, [this, n] {
                node(n).kill();
                policy_->node_changed(n);
            });
            agenda_.at(begin_s + span.to, [this, n] {
                node(n).revive();
                policy_->node_changed(n);
            });
        }
    }
    for (std::size_t i = 0; i < count; ++i) {
        const auto& request = workload.requests[i];
        const int index = static_cast<int>(i);
        if (request.after >= 0) {
            followers_[static_cast<std::size_t>(request.after)].push_back(index);
        } else {
            agenda_.at(begin_s + request.arrival, [this, index] { arrive(index); });
        }
    }
}

void Stage::arrive(int request)
{
    if (agenda_.now() - begin_s > this->request(request).not_after) {
        skip(request);
        return;
    }
    fate(request).arrived = agenda_.now();
    policy_->arrive(request, {});
}

/// It is never asked, nor is what would follow it.
void Stage::skip(int request)
{
    std::vector<int> left{request};
    while (!left.empty()) {
        const int next = left.back();
        left.pop_back();
        --open_;
        const auto& more = followers_[static_cast<std::size_t>(next)];
        left.insert(left.end(), more.begin(), more.end());
    }
}

void Stage::send(int request, int node)
{
    auto& f = fate(request);
    if (at_node_[static_cast<std::size_t>(request)] >= 0 || f.ended >= 0) {
        run_.wrong = "request " + std::to_string(request) + " was sent twice";
    }
    at_node_[static_cast<std::size_t>(request)] = node;
    ++f.attempts;
    f.node = node;
    ++run_.sent_to[static_cast<std::size_t>(node)];
    nodes_[static_cast<std::size_t>(node)]->submit(request);
}

void Stage::ended(int node, int request, const Ended& what)
{
    at_node_[static_cast<std::size_t>(request)] = -1;
    policy_->ended(request, node, what);
    if (what.end == End::served) {
        fate(request).cached = what.cached;
        close(request, true);
        return;
    }
    auto& tried = tried_[static_cast<std::size_t>(request)];
    tried.push_back(node);
    if (what.first_token_sent || fate(request).attempts >= attempts_max) {
        close(request, false); // the answer had begun: never again, silently
    } else {
        policy_->arrive(request, tried);
    }
}

void Stage::refuse(int request, const std::string& /*reason*/) { close(request, false); }

void Stage::close(int request, bool served)
{
    auto& f = fate(request);
    f.ended = agenda_.now();
    f.served = served;
    --open_;
    for (const int next : followers_[static_cast<std::size_t>(request)]) {
        agenda_.in(this->request(next).think, [this, next] { arrive(next); });
    }
}

Run Stage::run(const PolicyMaker& make)
{
    policy_ = make(*this);
    while (open_ > 0 && run_.wrong.empty()) {
        if (!agenda_.step()) {
            run_.wrong = std::to_string(open_) + " requests never met their fate";
        }
        if (check_ && ++steps_ % 16 == 0) {
            run_.wrong = policy_->check();
        }
    }
    run_.ended_at = agenda_.now() - begin_s;
    for (const auto& node : nodes_) {
        run_.nodes.push_back(node->counters());
    }
    return std::move(run_);
}

} // namespace

Run replay(const Workload& workload, const PolicyMaker& make, std::uint64_t seed, bool check)
{
    return Stage(workload, seed, check).run(make);
}

} // namespace herd::replay
